//! A software bill of materials: CycloneDX 1.6, as JSON.
//!
//! # Limits
//! Licences are what the crates' manifests say. C code inside a crate counts as that crate's, but for what
//! [`System`] names.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::Digest;
use crate::linked::Crate;

/// What the bill is of.
#[derive(Debug, Clone, Copy)]
pub struct Product<'a> {
    /// Which of the crates is the program.
    pub name: &'a str,
    pub binary: &'a [u8],
    pub created: Timestamp,
}

/// A part that no manifest names: the C library, the standard library, code that a crate carries along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct System {
    pub name: &'static str,
    pub version: String,
    /// An SPDX expression.
    pub license: &'static str,
    pub website: &'static str,
}

/// The bill; the same for the same input.
pub fn document(product: Product<'_>, crates: &[Crate], system: &[System]) -> Value {
    let mut components = Vec::new();
    let mut dependencies = Vec::new();
    let mut subject = Value::Null;
    for it in crates {
        let uses: Vec<String> = it
            .uses
            .iter()
            .map(|&other| reference(&crates[other]))
            .collect();
        dependencies.push(json!({ "ref": reference(it), "dependsOn": uses }));
        if it.name == product.name {
            subject = program(it, product.binary);
        } else {
            components.push(library(it));
        }
    }
    components.extend(system.iter().map(part));
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": product.created.to_string(),
            "component": subject,
        },
        "components": components,
        "dependencies": dependencies,
    })
}

fn program(it: &Crate, binary: &[u8]) -> Value {
    let mut component = describe("application", &it.name, &it.version);
    component.insert("bom-ref".into(), reference(it).into());
    component.insert("hashes".into(), sha256(&Digest::of(binary).hex()));
    license(&mut component, it);
    component.into()
}

fn library(it: &Crate) -> Value {
    let mut component = describe("library", &it.name, &it.version);
    component.insert("bom-ref".into(), reference(it).into());
    if let Some(checksum) = &it.checksum {
        component.insert("hashes".into(), sha256(checksum));
    }
    license(&mut component, it);
    if it.published {
        component.insert("purl".into(), reference(it).into());
    }
    if let Some(repository) = &it.repository {
        let reference = json!([{ "type": "vcs", "url": repository }]);
        component.insert("externalReferences".into(), reference);
    }
    component.into()
}

fn part(it: &System) -> Value {
    let mut component = describe("library", it.name, &it.version);
    component.insert(
        "bom-ref".into(),
        format!("{}@{}", it.name, it.version).into(),
    );
    component.insert("licenses".into(), json!([{ "expression": it.license }]));
    let website = json!([{ "type": "website", "url": it.website }]);
    component.insert("externalReferences".into(), website);
    component.into()
}

fn describe(kind: &str, name: &str, version: &str) -> Map<String, Value> {
    let mut component = Map::new();
    component.insert("type".into(), kind.into());
    component.insert("name".into(), name.into());
    component.insert("version".into(), version.into());
    component
}

fn license(component: &mut Map<String, Value>, it: &Crate) {
    if let Some(license) = &it.license {
        // Manifests may still have the form from before SPDX expressions: `MIT/Apache-2.0`.
        let expression = license.replace('/', " OR ");
        component.insert("licenses".into(), json!([{ "expression": expression }]));
    }
}

fn sha256(hex: &str) -> Value {
    json!([{ "alg": "SHA-256", "content": hex }])
}

/// A package URL for what the registry has, else name and version.
fn reference(it: &Crate) -> String {
    let Crate { name, version, .. } = it;
    if it.published {
        // In a package URL, a plus is a blank.
        format!("pkg:cargo/{name}@{}", version.replace('+', "%2B"))
    } else {
        format!("{name}@{version}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_crate(name: &str, published: bool, uses: &[usize]) -> Crate {
        Crate {
            name: name.into(),
            version: "1.0.0+x".into(),
            license: Some("MIT/Apache-2.0".into()),
            repository: None,
            checksum: published.then(|| "c0ffee".into()),
            published,
            directory: "/".into(),
            uses: uses.into(),
        }
    }

    fn bill() -> Value {
        let crates = [a_crate("app", false, &[1]), a_crate("lib", true, &[])];
        let product = Product {
            name: "app",
            binary: b"abc",
            created: Timestamp::UNIX_EPOCH,
        };
        let system = [System {
            name: "glibc",
            version: "2.36".into(),
            license: "LGPL-2.1-or-later",
            website: "https://www.gnu.org/software/libc/",
        }];
        document(product, &crates, &system)
    }

    #[test]
    fn the_program_is_the_subject_and_its_hash_is_the_binarys() {
        let bill = bill();
        let subject = &bill["metadata"]["component"];
        assert_eq!(subject["name"], "app");
        assert_eq!(subject["hashes"][0]["content"], Digest::of(b"abc").hex());
        assert_eq!(bill["metadata"]["timestamp"], "1970-01-01T00:00:00Z");
    }

    #[test]
    fn libraries_have_a_package_url_an_expression_and_their_place() {
        let bill = bill();
        let components = bill["components"].as_array().unwrap();
        let names: Vec<&Value> = components.iter().map(|it| &it["name"]).collect();
        assert_eq!(names, ["lib", "glibc"]);
        assert_eq!(components[0]["purl"], "pkg:cargo/lib@1.0.0%2Bx");
        let expression = &components[0]["licenses"][0]["expression"];
        assert_eq!(expression, "MIT OR Apache-2.0");
        assert_eq!(
            bill["dependencies"][0]["dependsOn"][0],
            "pkg:cargo/lib@1.0.0%2Bx"
        );
    }
}
