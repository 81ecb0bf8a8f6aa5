//! Which collections the document has.

use super::collection::{Collection, Shape};

/// Every collection of the document.
pub(super) static COLLECTIONS: &[Collection] = &[
    Collection {
        path: "interfaces",
        noun: "interface",
        at: &["interfaces"],
        shape: Shape::Map { content: None },
    },
    Collection {
        path: "zones",
        noun: "zone",
        at: &["zones"],
        shape: Shape::Map { content: None },
    },
    Collection {
        path: "addresses",
        noun: "address object",
        at: &["addresses"],
        shape: Shape::Map {
            content: Some("addresses"),
        },
    },
    Collection {
        path: "feeds",
        noun: "feed",
        at: &["feeds"],
        shape: Shape::Map { content: None },
    },
    Collection {
        path: "url-lists",
        noun: "list of URLs",
        at: &["url-lists"],
        shape: Shape::Map { content: None },
    },
    Collection {
        path: "services",
        noun: "service",
        at: &["services"],
        shape: Shape::Map { content: None },
    },
    Collection {
        path: "inspection",
        noun: "inspection profile",
        at: &["inspection"],
        shape: Shape::Map { content: None },
    },
    Collection {
        path: "schedules",
        noun: "schedule",
        at: &["schedules"],
        shape: Shape::Map { content: None },
    },
    Collection {
        path: "applications",
        noun: "application",
        at: &["applications"],
        shape: Shape::Map {
            content: Some("terms"),
        },
    },
    Collection {
        path: "policies",
        noun: "policy",
        at: &["policies"],
        shape: Shape::List { key: "name" },
    },
    Collection {
        path: "routes",
        noun: "route",
        at: &["routes"],
        shape: Shape::List { key: "to" },
    },
    Collection {
        path: "nat/pools",
        noun: "pool",
        at: &["nat", "pools"],
        shape: Shape::Map { content: None },
    },
    Collection {
        path: "nat/source",
        noun: "source rule",
        at: &["nat", "source"],
        shape: Shape::List { key: "name" },
    },
    Collection {
        path: "nat/destination",
        noun: "destination rule",
        at: &["nat", "destination"],
        shape: Shape::List { key: "name" },
    },
    Collection {
        path: "nat/static",
        noun: "static rule",
        at: &["nat", "static"],
        shape: Shape::List { key: "name" },
    },
];
