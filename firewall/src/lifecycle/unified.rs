//! A unified diff of two texts, as `diff -u` writes it and `patch` takes it.
//!
//! Of places that would do as well, a change is shown at that which its indentation tells. The search gives up exactness before
//! it takes long.

use std::fmt::{self, Write};

use imara_diff::{
    Algorithm, Diff, InternedInput, Interner, Token, UnifiedDiffConfig, UnifiedDiffPrinter,
};

/// Empty where nothing differs.
pub(crate) fn unified(from: &str, to: &str, [from_name, to_name]: [&str; 2]) -> String {
    let lines = InternedInput::new(from, to);
    let mut diff = Diff::compute(Algorithm::Histogram, &lines);
    diff.postprocess_lines(&lines);
    let printer = Printer(&lines.interner);
    let hunks = diff.unified_diff(&printer, UnifiedDiffConfig::default(), &lines);
    let hunks = hunks.to_string();
    if hunks.is_empty() {
        return hunks;
    }
    format!("--- {from_name}\n+++ {to_name}\n{hunks}")
}

struct Printer<'a>(&'a Interner<&'a str>);

impl Printer<'_> {
    fn lines(&self, out: &mut impl Write, sign: char, lines: &[Token]) -> fmt::Result {
        for line in lines {
            let line = self.0[*line];
            write!(out, "{sign}{line}")?;
            // Only the last one of a text.
            if !line.ends_with('\n') {
                out.write_str("\n\\ No newline at end of file\n")?;
            }
        }
        Ok(())
    }
}

impl UnifiedDiffPrinter for Printer<'_> {
    fn display_header(
        &self,
        mut out: impl Write,
        from: u32,
        to: u32,
        from_lines: u32,
        to_lines: u32,
    ) -> fmt::Result {
        // Of none, the line before them is named (POSIX, diff, "Diff Unified Output Format").
        let from = from + u32::from(from_lines > 0);
        let to = to + u32::from(to_lines > 0);
        writeln!(out, "@@ -{from},{from_lines} +{to},{to_lines} @@")
    }

    fn display_context_token(&self, mut out: impl Write, line: Token) -> fmt::Result {
        self.lines(&mut out, ' ', &[line])
    }

    fn display_hunk(&self, mut out: impl Write, from: &[Token], to: &[Token]) -> fmt::Result {
        self.lines(&mut out, '-', from)?;
        self.lines(&mut out, '+', to)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn of(from: &str, to: &str) -> String {
        unified(from, to, ["a", "b"])
    }

    #[test]
    fn what_is_the_same_has_no_text() {
        assert_eq!(of("", ""), "");
        assert_eq!(of("a\nb\n", "a\nb\n"), "");
    }

    #[test]
    fn the_first_lines_of_an_empty_text_come_after_line_nothing() {
        assert_eq!(of("", "a\n"), "--- a\n+++ b\n@@ -0,0 +1,1 @@\n+a\n");
        assert_eq!(of("a\n", ""), "--- a\n+++ b\n@@ -1,1 +0,0 @@\n-a\n");
    }

    #[test]
    fn a_text_that_does_not_end_its_last_line_says_so() {
        assert_eq!(
            of("a\nb", "a\nb\n"),
            "--- a\n+++ b\n@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+b\n"
        );
    }

    #[test]
    fn an_entry_that_is_new_is_shown_whole() {
        let entry = |name: &str| format!("  - name: {name}\n    action: permit\n");
        let head = "policies:\n".to_owned();
        let from = head.clone() + &entry("a") + &entry("c");
        let to = head + &entry("a") + &entry("b") + &entry("c");
        let added: String = of(&from, &to)
            .lines()
            .skip(3)
            .filter_map(|line| Some(format!("{}\n", line.strip_prefix('+')?)))
            .collect();
        assert_eq!(added, entry("b"));
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 100,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        /// As `patch` reads it.
        #[test]
        fn it_leads_from_one_text_to_the_other(
            from in "([a-d]\n){0,30}[a-d]?",
            to in "([a-d]\n){0,30}[a-d]?",
        ) {
            let diff = of(&from, &to);
            prop_assert_eq!(diff.is_empty(), from == to);
            let place = std::env::temp_dir().join(format!("palisade-unified-{}", std::process::id()));
            fs::create_dir_all(&place).unwrap();
            let (file, patch) = (place.join("a"), place.join("patch"));
            fs::write(&file, &from).unwrap();
            fs::write(&patch, &diff).unwrap();
            let output = Command::new("patch").arg("--posix").arg(&file).arg(&patch).output().expect("patch");
            let result = fs::read_to_string(&file).unwrap_or_default();
            fs::remove_dir_all(&place).unwrap();
            if !diff.is_empty() {
                prop_assert!(output.status.success(), "{}\n{:?}", diff, output);
                prop_assert_eq!(result, to);
            }
        }
    }
}
