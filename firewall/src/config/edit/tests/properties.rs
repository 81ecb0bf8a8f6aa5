//! Random documents in any style, random patches: the text and JSON agree, and what a patch does not
//! name stays as it is written.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::super::to_json;
use super::super::{patch, settle};
use super::operations;

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
