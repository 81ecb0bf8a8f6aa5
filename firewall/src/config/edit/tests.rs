//! What an edit leaves alone, and that it does what it says.

mod properties;

use json_patch::Patch;
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
    crate::lifecycle::unified(old, new, ["old", "new"])
        .lines()
        .skip(2)
        .filter(|line| line.starts_with(['-', '+']))
        .map(str::to_owned)
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
