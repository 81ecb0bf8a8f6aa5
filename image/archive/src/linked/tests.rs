use super::*;

const TARGET: &str = "x86_64-unknown-linux-gnu";

const METADATA: &str = r#"{
    "packages": [
        {"id": "app#1", "name": "app", "version": "1.0.0", "license": "Apache-2.0", "repository": null,
         "source": null, "manifest_path": "/src/app/Cargo.toml"},
        {"id": "lib#2", "name": "lib", "version": "2.0.0", "license": "MIT", "repository": "https://example.org/lib",
         "source": "registry", "manifest_path": "/registry/lib-2.0.0/Cargo.toml"},
        {"id": "macro#1", "name": "macro", "version": "1.0.0", "license": "MIT", "repository": null,
         "source": "registry", "manifest_path": "/registry/macro-1.0.0/Cargo.toml"}
    ],
    "resolve": {"nodes": [
        {"id": "app#1", "deps": [
            {"pkg": "lib#2", "dep_kinds": [{"kind": null, "target": null}]},
            {"pkg": "macro#1", "dep_kinds": [{"kind": null, "target": null}]}
        ]},
        {"id": "lib#2", "deps": [{"pkg": "app#1", "dep_kinds": [{"kind": "dev", "target": null}]}]},
        {"id": "macro#1", "deps": []}
    ]}
}"#;

const LOCK: &str = "version = 4\n\
    [[package]]\nname = \"app\"\nversion = \"1.0.0\"\n\
    [[package]]\nname = \"lib\"\nversion = \"2.0.0\"\nchecksum = \"c0ffee\"\n";

fn artifact(id: &str, file: &str) -> String {
    format!(
        "{{\"reason\":\"compiler-artifact\",\"package_id\":\"{id}\",\"filenames\":[\"{file}\"]}}\n"
    )
}

fn messages() -> String {
    [
        artifact(
            "lib#2",
            "/t/x86_64-unknown-linux-gnu/image/deps/liblib.rlib",
        ),
        artifact("macro#1", "/t/image/deps/libmacro.so"),
        "{\"reason\":\"build-script-executed\",\"package_id\":\"lib#2\"}\n".to_owned(),
        artifact("app#1", "/t/x86_64-unknown-linux-gnu/image/app"),
        "{\"reason\":\"build-finished\",\"success\":true}\n".to_owned(),
    ]
    .concat()
}

#[test]
fn what_was_built_for_the_target_was_linked_and_macros_were_not() {
    let crates = crates(&messages(), METADATA, LOCK, TARGET).unwrap();
    let names: Vec<&str> = crates.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["app", "lib"]);
    assert_eq!(crates[0].uses, [1]);
    assert!(crates[1].uses.is_empty(), "a test's needs are not linked");
}

#[test]
fn checksums_are_those_of_the_lock_file() {
    let crates = crates(&messages(), METADATA, LOCK, TARGET).unwrap();
    assert_eq!(crates[0].checksum, None);
    assert!(!crates[0].published);
    assert_eq!(crates[1].checksum.as_deref(), Some("c0ffee"));
    assert!(crates[1].published);
}

#[test]
fn a_build_for_another_target_is_refused() {
    let error = crates(&messages(), METADATA, LOCK, "aarch64-unknown-linux-gnu").unwrap_err();
    assert!(error.to_string().contains("--target aarch64"), "{error}");
}

#[test]
fn a_crate_that_the_workspace_does_not_know_is_refused() {
    let messages = artifact(
        "new#1",
        "/t/x86_64-unknown-linux-gnu/image/deps/libnew.rlib",
    );
    let error = crates(&messages, METADATA, LOCK, TARGET).unwrap_err();
    assert!(error.to_string().starts_with("new#1 was linked"), "{error}");
}
