//! Lists of hosts and URLs: what is written here is read at once, what stands elsewhere by its keeper.

use std::sync::Arc;

use inspection::filter::List;
use rules::{Findings, Located, Named, check_name};

use super::document;
use super::source::{self, Counts, FeedSource, Written};

/// Hosts and URLs that filters name.
#[derive(Clone, Debug)]
pub struct UrlList {
    pub name: String,
    pub description: Option<String>,
    pub content: UrlListContent,
}

#[derive(Clone, Debug)]
pub enum UrlListContent {
    Written(Arc<List>),
    /// A keeper's to have.
    Kept(KeptList),
}

/// A list that stands elsewhere, with all that its content depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeptList {
    pub name: String,
    pub source: FeedSource,
    pub limits: UrlListLimits,
    /// Where it blocks, it blocks everything for as long as it was never had.
    pub required: bool,
}

/// What a list must be for it to be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UrlListLimits {
    /// Entries.
    pub at_least: u32,
    pub at_most: u32,
    /// Percent of the entries that one refresh may add and take away; `None` for any.
    pub most_change_percent: Option<u8>,
}

const SECTION: &str = "url-lists";
const DEFAULT_AT_MOST: u32 = 1_000_000;
/// Of eight bytes each in memory.
const MAX_AT_MOST: u32 = 4_000_000;
const MAX_LISTS: usize = 64;

impl UrlList {
    #[must_use]
    pub fn kept(&self) -> Option<&KeptList> {
        match &self.content {
            UrlListContent::Written(_) => None,
            UrlListContent::Kept(kept) => Some(kept),
        }
    }
}

/// Those that have a content, in the order of the document.
pub(super) fn compile(
    document: &Named<document::UrlList>,
    findings: &mut Findings,
) -> Vec<UrlList> {
    if let Some((name, _)) = document.0.get(MAX_LISTS) {
        let message = format!("there are more than {MAX_LISTS} lists of URLs");
        findings.error(name.place, message);
    }
    document
        .iter()
        .filter_map(|(name, list)| {
            check_name(name, "a list of URLs", &[], findings);
            let content = content(name, list, findings);
            if content.is_none() {
                findings.mark_damaged(SECTION, &name.value);
            }
            Some(UrlList {
                name: name.value.clone(),
                description: list.description.clone(),
                content: content?,
            })
        })
        .collect()
}

fn content(
    name: &Located<String>,
    list: &document::UrlList,
    findings: &mut Findings,
) -> Option<UrlListContent> {
    if !list.entries.is_empty() {
        return written(name, list, findings).map(UrlListContent::Written);
    }
    if list.url.is_none() && list.file.is_none() {
        if findings.is_damaged(SECTION, &name.value) {
            return None;
        }
        let message = format!(
            "list '{}' has nothing in it: entries, url or file",
            name.value
        );
        findings.error(name.place, message);
        return None;
    }
    let counts = Counts {
        default: DEFAULT_AT_MOST,
        most: MAX_AT_MOST,
    };
    let (at_least, at_most) = source::counts(list.at_least, list.at_most, &counts, findings);
    let limits = UrlListLimits {
        at_least,
        at_most,
        most_change_percent: source::share(list.most_change.as_ref(), findings),
    };
    let written = Written {
        noun: "list",
        name,
        url: list.url.as_ref(),
        file: list.file.as_ref(),
        ca_file: list.ca_file.as_ref(),
        refresh: list.refresh.as_ref(),
    };
    Some(UrlListContent::Kept(KeptList {
        name: name.value.clone(),
        source: source::compile(&written, findings)?,
        limits,
        required: list.required.is_some_and(|required| required.value),
    }))
}

fn written(
    name: &Located<String>,
    list: &document::UrlList,
    findings: &mut Findings,
) -> Option<Arc<List>> {
    let texts = [
        &list.url,
        &list.file,
        &list.ca_file,
        &list.refresh,
        &list.most_change,
    ];
    let texts = texts.into_iter().flatten().map(|text| text.place);
    let counts = [&list.at_least, &list.at_most];
    let counts = counts.into_iter().flatten().map(|count| count.place);
    let required = list.required.iter().map(|required| required.place);
    for place in texts.chain(counts).chain(required) {
        let message = format!(
            "list '{}' has its entries here: all other keys go with a url or a file",
            name.value
        );
        findings.error(place, message);
    }
    let entries = list.entries.iter().map(|entry| entry.value.as_str());
    match List::of(entries) {
        Ok(read) => Some(Arc::new(read)),
        Err(errors) => {
            for (number, error) in errors {
                if let Some(entry) = list.entries.0.get(number) {
                    findings.error(entry.place, format!("'{}': {error}", entry.value));
                }
            }
            None
        }
    }
}
