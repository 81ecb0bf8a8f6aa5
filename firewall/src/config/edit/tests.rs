//! What an edit leaves alone, and that it does what it says.

use json_patch::Patch;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::to_json;
use super::*;

fn operations(patch: Value) -> Patch {
    serde_json::from_value(patch).unwrap()
}

/// The text after a patch; the patch is checked against JSON, too.
#[track_caller]
fn patched(text: &str, operations_of: Value) -> String {
    let operations = operations(operations_of);
    let mut expected = to_json(text).unwrap();
    json_patch::patch(&mut expected, &operations).unwrap();
    let new = patch(text, &operations).unwrap();
    assert_eq!(to_json(&new), Some(expected), "{new}");
    new
}

#[track_caller]
fn refused(text: &str, operations_of: Value) -> (usize, String, PatchProblem) {
    let error = patch(text, &operations(operations_of)).unwrap_err();
    (error.operation, error.path, error.problem)
}

const EDGE: &str = r#"# The edge of the lab.

version: 1   # the only one
interfaces:
  left:  { device: eth1, addresses: [192.0.2.1/24] }   # to the clients
  right: { device: eth2, addresses: [198.51.100.1/24, "2001:db8:2::1/64"] }

# Who may talk to whom.
zones:
  # Clients.
  trust:   { interfaces: [left],  host-inbound: [ping, https] }
  # Everybody else.
  untrust: { interfaces: [right], host-inbound: [ping] }   # only ping
addresses:
  servers: [
    192.0.2.10,    # web
    # the mail servers
    192.0.2.16/28,
  ]
policies:
  # Browsing.
  - name: web-out
    from: trust    # from inside
    to: untrust
    application: [http, https, dns]
    action: permit

  # Nothing else,
  # and loudly.
  - name: rest
    from: any
    to: any
    action: deny
    log: [start]
  # The end of the policies.
nat:
  source:
    - { name: internet, from: trust, to: untrust, source: [any], translate: interface }
"#;

/// The lines that are in one text and not in the other.
fn changes(old: &str, new: &str) -> Vec<String> {
    similar::TextDiff::from_lines(old, new)
        .iter_all_changes()
        .filter(|change| change.tag() != similar::ChangeTag::Equal)
        .map(|change| format!("{}{}", change.tag(), change.value().trim_end_matches('\n')))
        .collect()
}

#[test]
fn a_value_is_replaced_in_its_line() {
    let new = patched(
        EDGE,
        json!([
            {"op": "replace", "path": "/zones/untrust/host-inbound/0", "value": "ssh"},
            {"op": "replace", "path": "/policies/0/from", "value": ["trust", "dmz"]},
            {"op": "replace", "path": "/version", "value": 2},
        ]),
    );
    assert_eq!(
        changes(EDGE, &new),
        [
            "-version: 1   # the only one",
            "+version: 2   # the only one",
            "-  untrust: { interfaces: [right], host-inbound: [ping] }   # only ping",
            "+  untrust: { interfaces: [right], host-inbound: [ssh] }   # only ping",
            "-    from: trust    # from inside",
            "+    from: [trust, dmz]    # from inside",
        ]
    );
}

#[test]
fn an_entry_comes_in_the_style_of_people() {
    let new = patched(
        EDGE,
        json!([
            {"op": "add", "path": "/zones/dmz", "value": {"interfaces": ["middle"], "host-inbound": ["ping"]}},
            {"op": "add", "path": "/policies/1", "value": {
                "name": "names", "from": "trust", "to": "untrust", "source": ["lan", "web-servers"],
                "application": ["dns", "443", "2001:db8::1"], "action": "permit", "log": ["start", "end"]}},
            {"op": "add", "path": "/routes", "value": [{"to": "0.0.0.0/0", "via": "198.51.100.254"}]},
        ]),
    );
    assert_eq!(
        changes(EDGE, &new),
        [
            "+  dmz: { interfaces: [middle], host-inbound: [ping] }",
            "+  - name: names",
            "+    from: trust",
            "+    to: untrust",
            "+    source: [lan, web-servers]",
            "+    application: [dns, \"443\", \"2001:db8::1\"]",
            "+    action: permit",
            "+    log: [start, end]",
            "+routes:",
            "+  - { to: 0.0.0.0/0, via: 198.51.100.254 }",
        ]
    );
}

#[test]
fn comments_go_with_the_entry_that_they_are_above() {
    let new = patched(
        EDGE,
        json!([{"op": "remove", "path": "/policies/1"}, {"op": "remove", "path": "/zones/trust"}]),
    );
    assert_eq!(
        changes(EDGE, &new),
        [
            "-  # Clients.",
            "-  trust:   { interfaces: [left],  host-inbound: [ping, https] }",
            "-",
            "-  # Nothing else,",
            "-  # and loudly.",
            "-  - name: rest",
            "-    from: any",
            "-    to: any",
            "-    action: deny",
            "-    log: [start]",
        ]
    );
    let moved = patched(
        EDGE,
        json!([{"op": "move", "from": "/policies/1", "path": "/policies/0"}]),
    );
    assert!(
        moved.contains("policies:\n  # Nothing else,\n  # and loudly.\n  - name: rest\n"),
        "{moved}"
    );
    assert!(
        moved.contains("  # Browsing.\n  - name: web-out\n"),
        "{moved}"
    );
    let renamed = patched(
        EDGE,
        json!([{"op": "move", "from": "/zones/trust", "path": "/zones/inside"}]),
    );
    assert!(
        renamed.contains(
            "  # Clients.\n  inside:   { interfaces: [left],  host-inbound: [ping, https] }\n"
        ),
        "{renamed}"
    );
}

#[test]
fn lists_in_brackets_keep_their_lines_and_comments() {
    let new = patched(
        EDGE,
        json!([
            {"op": "add", "path": "/addresses/servers/-", "value": "192.0.2.99"},
            {"op": "remove", "path": "/addresses/servers/0"},
            {"op": "add", "path": "/policies/0/application/1", "value": "ssh"},
            {"op": "add", "path": "/interfaces/left/vlan", "value": 7},
            {"op": "remove", "path": "/interfaces/right/device"},
        ]),
    );
    assert_eq!(
        changes(EDGE, &new),
        [
            "-  left:  { device: eth1, addresses: [192.0.2.1/24] }   # to the clients",
            "-  right: { device: eth2, addresses: [198.51.100.1/24, \"2001:db8:2::1/64\"] }",
            "+  left:  { device: eth1, addresses: [192.0.2.1/24], vlan: 7 }   # to the clients",
            "+  right: { addresses: [198.51.100.1/24, \"2001:db8:2::1/64\"] }",
            "-    192.0.2.10,    # web",
            "+    192.0.2.99,",
            "-    application: [http, https, dns]",
            "+    application: [http, ssh, https, dns]",
        ]
    );
}

#[test]
fn what_moves_in_brackets_is_spaced_as_the_others() {
    assert_eq!(
        patched(
            "a: [x, y,  z]\n",
            json!([{"op": "move", "from": "/a/0", "path": "/a/2"}])
        ),
        "a: [y,  z, x]\n"
    );
}

#[test]
fn the_last_entry_leaves_an_empty_list_and_another_one_finds_it() {
    let empty = patched(EDGE, json!([{"op": "remove", "path": "/nat/source/0"}]));
    assert!(empty.ends_with("nat:\n  source: []\n"), "{empty}");
    let again = patched(
        &empty,
        json!([{"op": "add", "path": "/nat/source/-", "value": {"name": "x"}}]),
    );
    assert!(
        again.ends_with("nat:\n  source: [{ name: x }]\n"),
        "{again}"
    );
}

#[test]
fn what_is_in_a_block_behind_a_dash_can_change_at_both_ends() {
    let text = "a:\n  - x: 1   # one\n    y: 2\n  - - p\n    - q\n";
    assert_eq!(
        patched(
            text,
            json!([{"op": "remove", "path": "/a/0/x"}, {"op": "add", "path": "/a/1/0", "value": "o"}])
        ),
        "a:\n  - y: 2\n  - - o\n    - p\n    - q\n"
    );
    assert_eq!(
        patched(
            text,
            json!([{"op": "move", "from": "/a/1/1", "path": "/a/1/0"}, {"op": "add", "path": "/a/0/z", "value": {"k": []}}])
        ),
        "a:\n  - x: 1   # one\n    y: 2\n    z: { k: [] }\n  - - q\n    - p\n"
    );
}

#[test]
fn a_text_without_a_last_line_break_and_one_with_markers_are_followed() {
    assert_eq!(
        patched(
            "---\n# top\na: 1",
            json!([{"op": "add", "path": "/b", "value": "x"}])
        ),
        "---\n# top\na: 1\nb: x\n"
    );
    assert_eq!(
        patched(
            "# top\n\na: 1\nb: |\n  text\n\nc: 3\n...\n",
            json!([{"op": "replace", "path": "/a", "value": null}, {"op": "remove", "path": "/c"}])
        ),
        "# top\n\na: null\nb: |\n  text\n\n...\n"
    );
    assert_eq!(
        patched(
            "a:  # nothing yet\nb:\n",
            json!([{"op": "replace", "path": "/a", "value": {"x": 1}}, {"op": "replace", "path": "/b", "value": "no"}])
        ),
        "a:  # nothing yet\n  x: 1\nb: \"no\"\n"
    );
    assert_eq!(
        patched(
            "",
            json!([{"op": "add", "path": "", "value": {"version": 1}}])
        ),
        "version: 1\n"
    );
    assert_eq!(
        patched(
            "# only\n",
            json!([{"op": "add", "path": "", "value": {"version": 1}}])
        ),
        "# only\nversion: 1\n"
    );
    assert_eq!(
        patched(
            "{\"a\": 1,\n \"b\": [1,2]}\n",
            json!([{"op": "add", "path": "/c", "value": "x"}, {"op": "remove", "path": "/b/0"}])
        ),
        "{\"a\": 1,\n \"b\": [2],\n c: x}\n"
    );
}

#[test]
fn an_alias_of_what_changes_is_written_out_and_others_stay() {
    let text = "a: &a [x, y]   # both\nb: *a   # the same\nc: &c { k: v }\nd: *c\n";
    assert_eq!(
        patched(text, json!([{"op": "add", "path": "/a/-", "value": "z"}])),
        "a: &a [x, y, z]   # both\nb:   # the same\n  - x\n  - y\nc: &c { k: v }\nd: *c\n"
    );
    assert_eq!(
        patched(
            text,
            json!([{"op": "replace", "path": "/d/k", "value": "w"}])
        ),
        "a: &a [x, y]   # both\nb: *a   # the same\nc: &c { k: v }\nd:\n  k: w\n"
    );
    assert_eq!(
        patched(text, json!([{"op": "remove", "path": "/a"}])),
        "b:   # the same\n  - x\n  - y\nc: &c { k: v }\nd: *c\n"
    );
}

#[test]
fn strings_stay_strings_and_numbers_numbers() {
    let values = json!([
        "443", 443, "true", true, "null", null, "", "1e3", "0123", -5, 1.5, "1.5", "a: b", "#x",
        "ü\n", "x"
    ]);
    let new = patched(
        "a: 1\n",
        json!([{"op": "replace", "path": "/a", "value": values}]),
    );
    assert_eq!(to_json(&new).unwrap()["a"], values);
    // Plain text that is no number to JSON is not quoted on its way to another place.
    let text = "a: { port: 0443, b: 'single' }\n";
    assert_eq!(
        patched(
            text,
            json!([{"op": "move", "from": "/a", "path": "/c"}, {"op": "copy", "from": "/c/port", "path": "/d"}])
        ),
        "c: { port: 0443, b: 'single' }\nd: 0443\n"
    );
}

#[test]
fn what_cannot_be_applied_says_which_operation_and_where() {
    let no = |operations_of| refused(EDGE, operations_of);
    assert_eq!(
        no(
            json!([{"op": "test", "path": "/version", "value": 1}, {"op": "remove", "path": "/zones/dmz"}])
        ),
        (1, "/zones/dmz".to_owned(), PatchProblem::NoSuchValue)
    );
    assert_eq!(
        no(json!([{"op": "test", "path": "/version", "value": "1"}])).2,
        PatchProblem::TestFailed
    );
    assert_eq!(
        no(json!([{"op": "add", "path": "/policies/3", "value": {}}])).2,
        PatchProblem::BadIndex
    );
    assert_eq!(
        no(json!([{"op": "add", "path": "/policies/01", "value": {}}])).2,
        PatchProblem::BadIndex
    );
    assert_eq!(
        no(json!([{"op": "move", "from": "/zones", "path": "/zones/x"}])).2,
        PatchProblem::IntoItself
    );
    assert_eq!(
        no(json!([{"op": "move", "from": "/zone", "path": "/x"}])),
        (0, "/zone".to_owned(), PatchProblem::NoSuchValue)
    );
    assert_eq!(
        no(json!([{"op": "remove", "path": ""}])).2,
        PatchProblem::WholeDocument
    );
    assert_eq!(
        no(json!([{"op": "add", "path": "/version/x", "value": 1}])).2,
        PatchProblem::NoSuchValue
    );
}

#[test]
fn a_patch_that_copies_itself_is_stopped() {
    let doubling = json!([{"op": "copy", "from": "/a", "path": "/a/-"}]);
    let many: Vec<_> = std::iter::repeat_n(doubling[0].clone(), 60).collect();
    assert!(matches!(
        refused("a: [x]\n", Value::Array(many)).2,
        PatchProblem::TooLarge | PatchProblem::TooDeep
    ));
    let wide = (0..60).flat_map(|_| {
        [
            json!({"op": "copy", "from": "/a", "path": "/b"}),
            json!({"op": "add", "path": "/a", "value": [1]}),
            json!({"op": "move", "from": "/b", "path": "/a/-"}),
        ]
    });
    assert_eq!(refused("a: [x]\n", wide.collect()).2, PatchProblem::TooDeep);
    let ones = vec![json!({"op": "test", "path": "", "value": null}); MAX_OPERATIONS + 1];
    assert_eq!(
        refused("", Value::Array(ones)).2,
        PatchProblem::TooManyOperations
    );
}

#[test]
fn a_whole_document_as_json_changes_only_what_differs() {
    let mut wanted = to_json(EDGE).unwrap();
    assert_eq!(settle(EDGE, &wanted).as_deref(), Some(EDGE));
    wanted["policies"][0]["action"] = json!("reject");
    let policies = wanted["policies"].as_array_mut().unwrap();
    policies.reverse();
    let new = settle(EDGE, &wanted).unwrap();
    assert_eq!(to_json(&new), Some(wanted));
    assert!(
        new.contains("  # Nothing else,\n  # and loudly.\n  - name: rest\n"),
        "{new}"
    );
    assert!(
        new.contains("  # Browsing.\n  - name: web-out\n    from: trust    # from inside\n"),
        "{new}"
    );
}

/// A document as somebody might have written it: any style, with comments.
#[derive(Clone, Debug)]
enum Written {
    Scalar(&'static str),
    Seq(bool, Vec<Written>),
    Map(bool, Vec<Written>),
}

const SCALARS: [&str; 12] = [
    "x",
    "443",
    "\"443\"",
    "'it''s'",
    "true",
    "\"true\"",
    "~",
    "192.0.2.0/24",
    "\"a: b # c\"",
    "10m",
    "\"\"",
    "-7",
];
const KEYS: [&str; 6] = ["a", "b", "c", "name", "\"k 1\"", "d-e"];

fn documents() -> impl Strategy<Value = Written> {
    let leaf = proptest::sample::select(&SCALARS[..]).prop_map(Written::Scalar);
    let value = leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            (
                any::<bool>(),
                proptest::collection::vec(inner.clone(), 0..5)
            )
                .prop_map(|(flow, items)| Written::Seq(flow, items)),
            (any::<bool>(), proptest::collection::vec(inner, 0..5))
                .prop_map(|(flow, values)| Written::Map(flow, values)),
        ]
    });
    proptest::collection::vec(value, 1..6).prop_map(|values| Written::Map(false, values))
}

impl Written {
    /// `marks` numbers the comments, and says by its bits where there are some.
    fn block(&self, column: usize, marks: &mut Marks, out: &mut String) {
        let indentation = " ".repeat(column);
        let (entries, keys): (_, &[&str]) = match self {
            Self::Seq(_, items) => (items, &[]),
            Self::Map(_, values) => (values, &KEYS),
            Self::Scalar(_) => return,
        };
        for (number, entry) in entries.iter().enumerate() {
            out.push_str(&marks.between(&indentation));
            let head = keys
                .get(number)
                .map_or("-".to_owned(), |key| format!("{key}:"));
            out.push_str(&format!("{indentation}{head}"));
            match entry {
                Self::Scalar(text) => out.push_str(&format!(" {text}{}\n", marks.behind())),
                Self::Seq(flow, children) | Self::Map(flow, children)
                    if *flow || children.is_empty() =>
                {
                    out.push_str(&format!(
                        " {}{}\n",
                        entry.flow(column, marks),
                        marks.behind()
                    ));
                }
                Self::Seq(..) | Self::Map(..) => {
                    out.push_str(&format!("{}\n", marks.behind()));
                    entry.block(column + 2, marks, out);
                }
            }
        }
    }

    fn flow(&self, column: usize, marks: &mut Marks) -> String {
        let on_lines = marks.next().is_multiple_of(3);
        let indentation = " ".repeat(column + 3);
        let join = |parts: Vec<String>, marks: &mut Marks| {
            if !on_lines || parts.is_empty() {
                return parts.join(", ");
            }
            let lines = parts.into_iter().map(|part| {
                format!(
                    "\n{}{indentation}{part},{}",
                    marks.between(&indentation),
                    marks.behind()
                )
            });
            lines.collect::<String>() + "\n" + &indentation
        };
        match self {
            Self::Scalar(text) => (*text).to_owned(),
            Self::Seq(_, items) => {
                let parts = items
                    .iter()
                    .map(|item| item.flow(column + 2, marks))
                    .collect();
                format!("[{}]", join(parts, marks))
            }
            Self::Map(_, values) => {
                let parts = values
                    .iter()
                    .zip(KEYS)
                    .map(|(value, key)| format!("{key}: {}", value.flow(column + 2, marks)))
                    .collect();
                format!("{{{}}}", join(parts, marks))
            }
        }
    }
}

struct Marks {
    state: u64,
    count: usize,
}

impl Marks {
    fn next(&mut self) -> u64 {
        self.state = self
            .state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.state >> 33
    }

    fn comment(&mut self) -> String {
        self.count += 1;
        format!("# comment {}", self.count)
    }

    fn between(&mut self, indentation: &str) -> String {
        match self.next() % 8 {
            0 => "\n".to_owned(),
            1 => format!("{indentation}{}\n", self.comment()),
            2 => format!(
                "\n{indentation}{}\n{indentation}{}\n",
                self.comment(),
                self.comment()
            ),
            3 => format!("{indentation}{}\n\n", self.comment()),
            _ => String::new(),
        }
    }

    fn behind(&mut self) -> String {
        match self.next() % 5 {
            0 => format!("   {}", self.comment()),
            _ => String::new(),
        }
    }
}

/// Every place in a value, the whole included.
fn pointers(value: &Value) -> Vec<String> {
    let mut found = vec![String::new()];
    let below: Vec<(String, &Value)> = match value {
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(index, item)| (index.to_string(), item))
            .collect(),
        Value::Object(entries) => entries
            .iter()
            .map(|(key, value)| (key.replace('~', "~0").replace('/', "~1"), value))
            .collect(),
        _ => Vec::new(),
    };
    for (token, value) in below {
        found.extend(
            pointers(value)
                .into_iter()
                .map(|rest| format!("/{token}{rest}")),
        );
    }
    found
}

/// An operation that makes sense for a document, chosen by a few random numbers.
fn operation(document: &Value, choice: [u16; 4]) -> Value {
    let all = pointers(document);
    let pick = |number: u16| all[usize::from(number) % all.len()].clone();
    let values = [
        json!("new"),
        json!(7),
        json!("7"),
        json!({"name": "n", "list": ["a", "b: c"]}),
        json!([]),
        json!([1, {"x": null}]),
        json!("a longer sentence, with a comma"),
        json!({}),
    ];
    let value = values[usize::from(choice[2]) % values.len()].clone();
    let inside = |pointer: String| match document.pointer(&pointer) {
        Some(Value::Array(items)) => {
            format!("{pointer}/{}", usize::from(choice[3]) % (items.len() + 1))
        }
        Some(Value::Object(_)) => format!(
            "{pointer}/{}",
            ["a", "new", "k 1", "z"][usize::from(choice[3]) % 4]
        ),
        _ => pointer,
    };
    let place = pick(choice[1]);
    match choice[0] % 6 {
        0 | 1 => json!({"op": "add", "path": inside(place), "value": value}),
        2 => json!({"op": "remove", "path": place}),
        3 => json!({"op": "replace", "path": place, "value": value}),
        4 => json!({"op": "move", "from": place, "path": inside(pick(choice[2]))}),
        _ => json!({"op": "copy", "from": place, "path": inside(pick(choice[2]))}),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Whatever the style: what the text says after a patch is what JSON says after it, and sections
    /// that the patch does not name are as they were, byte for byte.
    #[test]
    fn a_patch_does_to_the_text_what_it_does_to_json(
        document in documents(),
        seed in any::<u64>(),
        choices in proptest::collection::vec(any::<[u16; 4]>(), 1..6),
        aliases in any::<bool>(),
    ) {
        let mut marks = Marks { state: seed, count: 0 };
        let mut text = String::new();
        document.block(0, &mut marks, &mut text);
        if aliases {
            text = format!("base:\n  one: &one [p, q]\n  two: &two {{ k: *one }}\n{}", text.replace("-7", "*two").replace("443", "*one"));
        }
        let before = to_json(&text).expect("the test writes YAML");
        let mut expected = before.clone();
        let mut patch_of = Vec::new();
        for choice in choices {
            let next = operation(&expected, choice);
            let mut after = expected.clone();
            if json_patch::patch(&mut after, &operations(json!([next]))).is_ok() {
                expected = after;
                patch_of.push(next);
            }
        }
        let patch_of = operations(Value::Array(patch_of));
        let new = patch(&text, &patch_of).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        prop_assert_eq!(to_json(&new), Some(expected), "{}\n---\n{}\n---\n{}", &text, &patch_of, &new);

        let touched: Vec<String> = patch_of.iter().flat_map(|operation| {
            let from = match operation {
                json_patch::PatchOperation::Move(by) => Some(&by.from),
                _ => None,
            };
            let first = |pointer: &json_patch::jsonptr::Pointer| pointer.first().map_or("".to_owned(), |token| token.decoded().into_owned());
            [Some(first(operation.path())), from.map(|from| first(from))].into_iter().flatten()
        }).collect();
        if !aliases && !touched.contains(&String::new()) {
            for section in sections(&text).into_iter().filter(|(name, _)| !touched.contains(name)) {
                prop_assert!(new.contains(&section.1), "{:?} is gone:\n{}\n---\n{}\n---\n{}", section, &text, &patch_of, &new);
            }
        }
    }

    #[test]
    fn any_string_is_written_so_that_it_is_read_again(text in any::<String>()) {
        let value = json!({ &text: [&text], "k": { "x": &text } });
        match settle("", &value) {
            Some(new) => prop_assert_eq!(to_json(&new), Some(value)),
            // YAML's limit for keys on one line.
            None => prop_assert!(text.len() > 100),
        }
    }
}

/// The lines of each section, from its key up to the last that is indented.
fn sections(text: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    // What is between two sections may go with either.
    let mut between = String::new();
    for line in text.split_inclusive('\n') {
        if line.starts_with(['#', '\n']) {
            between.push_str(line);
        } else if line.starts_with(' ') {
            if let Some((_, section)) = found.last_mut() {
                section.push_str(&between);
                section.push_str(line);
            }
            between.clear();
        } else {
            let key = line.split(':').next().unwrap_or_default();
            found.push((key.trim_matches('"').to_owned(), line.to_owned()));
            between.clear();
        }
    }
    found
}
