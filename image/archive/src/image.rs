//! A layer and its settings as one archive.

use std::io;

use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

use crate::{Compression, Digest, Layer, Settings};

/// An image, as its blobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// `palisade:0.1.0`, each a name that it is known by once it is loaded.
    names: Vec<String>,
    blobs: Blobs,
}

/// What an image consists of; each is named by its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blobs {
    pub layer: Layer,
    pub config: Vec<u8>,
    pub manifest: Vec<u8>,
}

impl Image {
    pub fn new(names: Vec<String>, layer: Layer, settings: &Settings) -> Self {
        let config = bytes(&settings.document(layer.diff_id));
        let manifest = bytes(&manifest(&layer, &config));
        Self {
            names,
            blobs: Blobs {
                layer,
                config,
                manifest,
            },
        }
    }

    /// What a registry knows the image by: `NAME@sha256:…`.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.blobs.manifest)
    }

    /// What `docker images` shows.
    pub fn id(&self) -> Digest {
        Digest::of(&self.blobs.config)
    }

    pub fn names(&self) -> &[String] {
        &self.names
    }

    pub fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// What goes over the network: everything, as a registry stores it.
    pub fn compressed_bytes(&self) -> usize {
        self.blobs.layer.bytes.len() + self.blobs.config.len() + self.blobs.manifest.len()
    }

    /// The archive, for `docker load --input`.
    ///
    /// # Errors
    /// Only what writing to memory gives.
    pub fn archive(&self) -> io::Result<Vec<u8>> {
        let Blobs {
            layer,
            config,
            manifest,
        } = &self.blobs;
        let mut files = vec![
            (
                "oci-layout".to_owned(),
                bytes(&json!({ "imageLayoutVersion": "1.0.0" })),
            ),
            ("index.json".to_owned(), bytes(&self.index())),
            ("manifest.json".to_owned(), bytes(&self.docker_manifest())),
        ];
        for blob in [&layer.bytes, config, manifest] {
            files.push((blob_path(blob), blob.clone()));
        }
        files.sort();
        let mut archive = Builder::new(Vec::new());
        for directory in ["blobs/", "blobs/sha256/"] {
            let mut header = header(EntryType::Directory, 0o755, 0);
            archive.append_data(&mut header, directory, io::empty())?;
        }
        for (path, content) in &files {
            let mut header = header(EntryType::Regular, 0o644, content.len());
            archive.append_data(&mut header, path, content.as_slice())?;
        }
        archive.into_inner()
    }

    /// The way in for whoever reads an OCI image layout: podman, skopeo, Docker with containerd's image store.
    fn index(&self) -> Value {
        let manifests: Vec<Value> = self
            .names
            .iter()
            .map(|name| {
                let tag = name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
                let mut descriptor = descriptor(OCI_MANIFEST, &self.blobs.manifest);
                descriptor["annotations"] = json!({
                    "io.containerd.image.name": full_name(name),
                    "org.opencontainers.image.ref.name": tag,
                });
                descriptor
            })
            .collect();
        json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests })
    }

    /// The way in for Docker's own image store.
    fn docker_manifest(&self) -> Value {
        json!([{
            "Config": blob_path(&self.blobs.config),
            "RepoTags": self.names,
            "Layers": [blob_path(&self.blobs.layer.bytes)],
        }])
    }
}

const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";

fn manifest(layer: &Layer, config: &[u8]) -> Value {
    let media_type = match layer.compression {
        Compression::None => "application/vnd.oci.image.layer.v1.tar",
        Compression::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
    };
    json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(OCI_CONFIG, config),
        "layers": [descriptor(media_type, &layer.bytes)],
    })
}

fn descriptor(media_type: &str, blob: &[u8]) -> Value {
    json!({
        "mediaType": media_type,
        "digest": Digest::of(blob).to_string(),
        "size": blob.len(),
    })
}

/// containerd knows images by their full names only. A name whose first part has a dot, a colon, or is `localhost`
/// names its registry.
fn full_name(name: &str) -> String {
    match name.split_once('/') {
        Some((registry, _)) if registry.contains(['.', ':']) || registry == "localhost" => {
            name.to_owned()
        }
        Some(_) => format!("docker.io/{name}"),
        None => format!("docker.io/library/{name}"),
    }
}

fn blob_path(blob: &[u8]) -> String {
    format!("blobs/sha256/{}", Digest::of(blob).hex())
}

fn bytes(document: &Value) -> Vec<u8> {
    document.to_string().into_bytes()
}

fn header(kind: EntryType, mode: u32, size: usize) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size as u64);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read as _;
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;
    use crate::appliance::{self, Source};

    fn image() -> Image {
        let source = Source {
            version: "1.2.3".into(),
            revision: Some("abc".into()),
            at: Timestamp::from_second(86400).unwrap(),
        };
        let layer = Layer::new(appliance::entries(b"binary".into()), Compression::Gzip).unwrap();
        let names = vec![
            "palisade:1.2.3".into(),
            "registry.example:5000/palisade:x".into(),
        ];
        Image::new(names, layer, &appliance::settings(&source, "amd64"))
    }

    fn files(image: &Image) -> BTreeMap<String, Vec<u8>> {
        let archive = image.archive().unwrap();
        let mut archive = tar::Archive::new(archive.as_slice());
        let files = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (path, content)
        });
        files.collect()
    }

    fn json(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn both_layouts_lead_to_the_same_blobs_and_every_name_is_a_blobs_digest() {
        let image = image();
        let files = files(&image);
        for (path, content) in &files {
            if let Some(hex) = path
                .strip_prefix("blobs/sha256/")
                .filter(|hex| !hex.is_empty())
            {
                assert_eq!(Digest::of(content).hex(), hex);
            }
        }
        let docker = json(&files["manifest.json"]);
        let config = docker[0]["Config"].as_str().unwrap();
        let layer = docker[0]["Layers"][0].as_str().unwrap();
        let index = json(&files["index.json"]);
        let path = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().unwrap();
            digest.replace("sha256:", "blobs/sha256/")
        };
        let manifest = json(&files[&path(&index["manifests"][0])]);
        assert_eq!(path(&manifest["config"]), config);
        assert_eq!(path(&manifest["layers"][0]), layer);
        assert_eq!(manifest["layers"][0]["size"], files[layer].len());
        let diff_id = &json(&files[config])["rootfs"]["diff_ids"][0];
        assert_eq!(diff_id, &image.blobs().layer.diff_id.to_string());
    }

    #[test]
    fn names_are_given_in_the_form_that_each_engine_knows() {
        let files = files(&image());
        let docker = json(&files["manifest.json"]);
        assert_eq!(docker[0]["RepoTags"][0], "palisade:1.2.3");
        let index = json(&files["index.json"]);
        let names: Vec<&Value> = index["manifests"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| &it["annotations"]["io.containerd.image.name"])
            .collect();
        let expected = [
            "docker.io/library/palisade:1.2.3",
            "registry.example:5000/palisade:x",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn an_engine_is_told_how_to_run_the_appliance() {
        let image = image();
        let document = json(&image.blobs().config);
        let config = &document["config"];
        assert_eq!(config["Entrypoint"], json!(["/palisade"]));
        assert_eq!(config["Cmd"], json!(["run"]));
        let check = &config["Healthcheck"];
        assert_eq!(check["Test"], json!(["CMD", "/palisade", "health"]));
        assert_eq!(check["Interval"], Duration::from_secs(10).as_nanos() as u64);
        assert!(config["Volumes"]["/var/lib/palisade"].is_object());
        assert_eq!(config["Labels"]["org.opencontainers.image.revision"], "abc");
        assert_eq!(document["created"], "1970-01-02T00:00:00Z");
    }

    #[test]
    fn the_same_input_is_the_same_archive() {
        assert_eq!(image().archive().unwrap(), image().archive().unwrap());
    }
}
