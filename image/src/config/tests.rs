//! What an engineer types, against the API itself.

use std::fs;
use std::path::Path;

use clap::Parser;
use serde_json::Value;
use web_ui::fake::CONFIGURATION;

use super::edit::{EditError, Person};
use super::*;
use crate::testing::Bench;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

/// One appliance, asked by command lines.
struct Session(Bench);

impl Session {
    async fn start() -> Self {
        Self(Bench::start().await)
    }

    async fn try_run(&self, words: &[&str]) -> Result<Told, ConfigError> {
        let line = ["config"].iter().chain(words);
        let mut args = Line::try_parse_from(line).unwrap().args;
        args.connection = self.0.local();
        answer(&args, Some(100)).await
    }

    async fn run(&self, words: &[&str]) -> String {
        let told = self.try_run(words).await.unwrap();
        assert_eq!(told.exit, Exit::Done, "{words:?}: {}", told.text);
        told.text
    }

    async fn refused(&self, words: &[&str]) -> ConfigError {
        self.try_run(words).await.unwrap_err()
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    }
}

#[tokio::test]
async fn a_change_goes_from_set_by_diff_and_commit_into_the_history() {
    let session = Session::start().await;
    session
        .run(&["set", "policies.rest.action", "reject"])
        .await;
    let diff = session.run(&["diff"]).await;
    assert!(
        diff.contains("-    action: deny\n+    action: reject\n"),
        "{diff}"
    );
    let patch: Value = serde_json::from_str(&session.run(&["diff", "--json"]).await).unwrap();
    assert_eq!(patch[0]["path"], "/policies/2/action");

    let told = session.try_run(&["diff", "--exit-code"]).await.unwrap();
    assert_eq!(told.exit, Exit::Differs);
    // With warnings or without.
    for check in [&["check"][..], &["commit", "--check"]] {
        let last = session.run(check).await;
        let last = last.lines().last().unwrap_or_default();
        assert!(last.starts_with("candidate: valid"), "{last}");
    }

    let said = session.run(&["commit", "--comment", "say no"]).await;
    assert_eq!(said, "revision 2 is in force\n");
    let said = session.run(&["commit"]).await;
    assert_eq!(said, "nothing has changed: revision 2 stays in force\n");
    assert_eq!(session.run(&["diff", "--exit-code"]).await, "");

    let history = session.run(&["history"]).await;
    let lines: Vec<&str> = history.lines().collect();
    assert!(
        lines[1].contains("root (socket)  in-force") && lines[1].ends_with("say no"),
        "{history}"
    );
    assert!(lines[2].contains("superseded"), "{history}");
    assert_eq!(
        session
            .run(&["history", "--limit", "1"])
            .await
            .lines()
            .count(),
        2
    );
}

#[tokio::test]
async fn what_is_to_be_confirmed_says_until_when() {
    let session = Session::start().await;
    session.run(&["delete", "policies.no-mail"]).await;
    let said = session.run(&["commit", "--confirm-within", "60s"]).await;
    assert!(
        said.starts_with("revision 2 is in force, and undone at 20"),
        "{said}"
    );
    let status = session.run(&["status"]).await;
    assert!(
        status.contains("unless confirmed  undone at 20"),
        "{status}"
    );
    assert_eq!(
        session.run(&["confirm"]).await,
        "revision 2 stays in force\n"
    );
    assert_eq!(session.refused(&["confirm"]).await.exit(), Exit::Conflict);

    session.run(&["discard"]).await;
    let said = session.run(&["rollback", "1", "--commit"]).await;
    assert_eq!(said, "revision 3 is in force\n");
    assert_eq!(session.run(&["show"]).await, CONFIGURATION);
    let history = session.run(&["history", "--json"]).await;
    let history: Value = serde_json::from_str(&history).unwrap();
    assert_eq!(history[0]["comment"], "rollback to revision 1");
}

#[tokio::test]
async fn times_and_revisions_that_can_not_be_are_wrong_input() {
    let session = Session::start().await;
    session.run(&["delete", "policies.no-mail"]).await;
    let error = session.refused(&["commit", "--confirm-within", "2d"]).await;
    assert_eq!(error.exit(), Exit::WrongInput);
    assert_eq!(error.details(), ["at /confirm-within"]);
    assert_eq!(
        session.refused(&["rollback", "9"]).await.exit(),
        Exit::WrongInput
    );
    assert_eq!(
        session.refused(&["diff", "9"]).await.exit(),
        Exit::WrongInput
    );
}

#[tokio::test]
async fn comments_stay_where_values_change() {
    let session = Session::start().await;
    session
        .run(&["set", "addresses.lan[+]", "2001:db8::/64"])
        .await;
    session
        .run(&[
            "set",
            "policies.dns",
            "{from: trust, to: untrust, application: dns, action: permit}",
            "addresses.printers",
            "[192.0.2.66]",
        ])
        .await;
    let text = session.run(&["show", "candidate"]).await;
    assert!(
        text.contains("# Who is where.") && text.contains("# everybody"),
        "{text}"
    );
    assert!(text.contains("# Everybody may look at pages."), "{text}");
    let lan = session
        .run(&["show", "candidate", "--section", "addresses.lan", "--json"])
        .await;
    assert_eq!(lan, "[\"192.0.2.0/24\",\"2001:db8::/64\"]\n");
    let dns = session
        .run(&[
            "show",
            "candidate",
            "--section",
            "policies[3].name",
            "--json",
        ])
        .await;
    assert_eq!(dns, "\"dns\"\n");
    let section = session
        .run(&["show", "--section", "policies.web-out"])
        .await;
    assert!(
        section.starts_with("policies:") && section.contains("web-out"),
        "{section}"
    );
    assert!(!section.contains("no-mail"), "{section}");
}

#[tokio::test]
async fn a_change_that_would_leave_a_mistake_is_refused_with_its_place() {
    let session = Session::start().await;
    let error = session
        .refused(&["set", "policies.rest.to", "untrsut"])
        .await;
    assert_eq!(error.exit(), Exit::WrongInput);
    let details = error.details();
    assert!(
        details[0].starts_with("/policies/2/to (line "),
        "{details:?}"
    );
    assert!(
        details[0].ends_with("did you mean 'untrust'?"),
        "{details:?}"
    );
    let error = session.refused(&["set", "polices.rest.to", "any"]).await;
    assert_eq!(error.exit(), Exit::WrongInput);
    assert_eq!(
        session.refused(&["delete", "zones.nobody"]).await.exit(),
        Exit::WrongInput
    );
    assert_eq!(
        session
            .refused(&["set", "system.host-name", "[a"])
            .await
            .exit(),
        Exit::WrongInput
    );
    let odd = session.refused(&["set", "a", "b", "c"]).await;
    assert_eq!(odd.to_string(), "there is no value for c");
}

#[tokio::test]
async fn a_file_is_loaded_whole_or_on_top() {
    let session = Session::start().await;
    let whole = session.file("whole.yaml", &CONFIGURATION.replace("reject", "deny"));
    session.run(&["load", &whole]).await;
    assert_eq!(
        session.run(&["show", "candidate"]).await,
        fs::read_to_string(&whole).unwrap()
    );
    session.run(&["discard"]).await;
    assert_eq!(session.run(&["export", "candidate"]).await, CONFIGURATION);

    let part = "policies: [{name: no-mail, action: deny}]\naddresses: {guests: 192.0.2.128/25}\n";
    let part = session.file("part.yaml", part);
    session.run(&["load", "--merge", &part]).await;
    let candidate = session.run(&["export", "candidate"]).await;
    for kept in [
        "# Who is where.",
        "web-out",
        "guests: 192.0.2.128/25",
        "application: smtp, action: deny",
    ] {
        assert!(candidate.contains(kept), "{kept}\n{candidate}");
    }
    let wrong = session.file("wrong.yaml", "version: 1\nzone: {}\n");
    let error = session.refused(&["load", &wrong]).await;
    assert!(
        error
            .details()
            .iter()
            .any(|line| line.starts_with("/zone (line 2)"))
    );
    let told = session.try_run(&["check", &wrong]).await.unwrap();
    assert_eq!(told.exit, Exit::WrongInput);
    assert!(
        told.text.contains("wrong.yaml:2:1: error: "),
        "{}",
        told.text
    );
    assert_eq!(
        session.refused(&["load", "/nowhere"]).await.exit(),
        Exit::WrongInput
    );
}

#[tokio::test]
async fn lists_whose_order_means_something_are_put_in_order() {
    let session = Session::start().await;
    session
        .run(&["move", "policies", "rest", "--before", "no-mail"])
        .await;
    let second = [
        "show",
        "candidate",
        "--section",
        "policies[1].name",
        "--json",
    ];
    assert_eq!(session.run(&second).await, "\"rest\"\n");
    let error = session
        .refused(&["move", "nat.source", "hide", "--last"])
        .await;
    assert_eq!(error.exit(), Exit::WrongInput);
    assert!(Line::try_parse_from(["config", "move", "zones", "trust", "--last"]).is_err());
}

/// Types what it was given, one after the other.
struct Typist<'a> {
    versions: Vec<&'a str>,
    told: Vec<String>,
}

impl Person for Typist<'_> {
    async fn edit(&mut self, file: &Path) -> Result<(), EditError> {
        fs::write(file, self.versions.remove(0)).unwrap();
        Ok(())
    }

    fn again(&mut self, mistakes: &str) -> bool {
        self.told.push(mistakes.to_owned());
        !self.versions.is_empty()
    }
}

async fn typed<'a>(
    client: &mut Client,
    versions: &[&'a str],
) -> (Result<String, ConfigError>, Typist<'a>) {
    let mut typist = Typist {
        versions: versions.to_vec(),
        told: Vec::new(),
    };
    (edit::edit(client, false, &mut typist).await, typist)
}

#[tokio::test]
async fn an_edit_with_mistakes_is_edited_again_or_kept() {
    let session = Session::start().await;
    let mut client = session.0.client().await;
    let wrong = CONFIGURATION.replace("to: untrust", "to: untrsut");
    let right = CONFIGURATION.replace("reject", "deny");
    let (done, typist) = typed(&mut client, &[&wrong, &right]).await;
    done.unwrap();
    assert!(typist.told[0].contains(": error: "), "{:?}", typist.told);
    assert_eq!(session.run(&["export", "candidate"]).await, right);

    let (done, _) = typed(&mut client, &[&wrong]).await;
    let Err(ConfigError::Edit(EditError::NotTaken { kept, error })) = done else {
        panic!("{done:?}")
    };
    assert_eq!(error.exit(), Exit::WrongInput);
    assert_eq!(fs::read_to_string(&kept).unwrap(), wrong);
    fs::remove_file(kept).unwrap();

    let (done, _) = typed(&mut client, &[&right]).await;
    assert_eq!(done.unwrap(), "nothing was changed\n");
}

/// Edits while somebody else does, too.
struct Late<'a>(&'a Session);

impl Person for Late<'_> {
    async fn edit(&mut self, file: &Path) -> Result<(), EditError> {
        self.0.run(&["set", "policies.rest.action", "reject"]).await;
        fs::write(file, CONFIGURATION.replace("reject", "deny")).unwrap();
        Ok(())
    }

    fn again(&mut self, _: &str) -> bool {
        panic!("there is no mistake")
    }
}

#[tokio::test]
async fn an_edit_does_not_undo_somebody_elses() {
    let session = Session::start().await;
    let mut client = session.0.client().await;
    let done = edit::edit(&mut client, false, &mut Late(&session)).await;
    let Err(ConfigError::Edit(EditError::NotTaken { kept, error })) = done else {
        panic!("{done:?}")
    };
    assert_eq!(error.exit(), Exit::Conflict);
    fs::remove_file(kept).unwrap();
    let candidate = session.run(&["export", "candidate"]).await;
    assert!(candidate.contains("action: reject\n"), "{candidate}");
}
