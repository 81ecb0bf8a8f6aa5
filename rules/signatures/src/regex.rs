//! Regular expressions that run in linear time: compiled at load within a bound, run as lazy automata.
//!
//! What is kept of an expression is its NFA; the states of its DFA come into being as bytes ask for them, in a
//! cache that whoever scans owns ([`Caches`]), bounded for each expression and in all.

use std::sync::Arc;

use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson::{self, NFA, WhichCaptures};
use regex_automata::util::prefilter::Prefilter;
use regex_automata::{Anchored, Input, MatchKind};
use regex_syntax::hir::{Hir, Look};
use rustc_hash::FxHashMap;

use crate::error::RegexError;

/// One expression's states. The published rule sets need no more than a tenth of that, but for those that
/// nest counted repetitions.
const ONE_BYTES: usize = 384 * 1024;
/// All expressions' states.
const ALL_BYTES: usize = 40 * 1024 * 1024;
/// Groups within groups.
const NESTING: u32 = 64;
/// A lazy automaton's states, for each expression in use.
const CACHE_BYTES: usize = 64 * 1024;
/// Expressions in use that keep their states; with one more, all start anew.
const CACHES: usize = 64;

pub(crate) struct Regex {
    /// Its place in [`Caches`].
    id: u32,
    dfa: DFA,
    /// A match can only begin where the data begins.
    pub(crate) is_anchored: bool,
    /// Whether what stands before a match matters: `^` of lines, `\b`.
    pub(crate) looks_behind: bool,
    /// Whether what follows a match matters: `$`, `\b`.
    pub(crate) looks_ahead: bool,
    /// What every match contains, in lower case where `literal_nocase`.
    pub(crate) literal: Option<Literal>,
}

/// A string that is in every match of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Literal {
    pub(crate) bytes: Box<[u8]>,
}

impl std::fmt::Debug for Regex {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Regex({})", self.id)
    }
}

impl Regex {
    /// The end of the leftmost match at or behind `from`; what is before `from` is seen by `^` and `\b` only.
    ///
    /// With `to` short of the data's end, `$` and `\b` see what follows.
    pub(crate) fn end_of_match(
        &self,
        caches: &mut Caches,
        data: &[u8],
        from: usize,
        to: usize,
    ) -> Option<usize> {
        if from > to || to > data.len() {
            return None;
        }
        let cache = caches.of(self);
        let input = Input::new(data).span(from..to).anchored(Anchored::No);
        // It gives up on bytes that Unicode boundaries can't be told for, and there are none without Unicode; and
        // where a cache is cleared too often, which isn't limited.
        match self.dfa.try_search_fwd(cache, &input) {
            Ok(found) => found.map(|half| half.offset()),
            Err(_) => None,
        }
    }
}

/// Compiles expressions, the same one once.
#[derive(Debug, Default)]
pub(crate) struct Compiler {
    compiled: FxHashMap<String, Arc<Regex>>,
    bytes: usize,
}

impl Compiler {
    pub(crate) fn compile(&mut self, pattern: &str) -> Result<Arc<Regex>, RegexError> {
        if let Some(known) = self.compiled.get(pattern) {
            return Ok(Arc::clone(known));
        }
        let hir = parse(pattern)?;
        let nfa = compile(&hir)?;
        self.bytes += nfa.memory_usage();
        if self.bytes > ALL_BYTES {
            return Err(RegexError::AllTooLarge {
                limit_bytes: ALL_BYTES,
            });
        }
        let id = u32::try_from(self.compiled.len()).unwrap_or(u32::MAX);
        let looks = hir.properties().look_set();
        let looks_at_words =
            looks.contains(Look::WordAscii) || looks.contains(Look::WordAsciiNegate);
        let regex = Arc::new(Regex {
            id,
            is_anchored: hir.properties().look_set_prefix().contains(Look::Start),
            looks_behind: looks_at_words || looks.contains(Look::StartLF),
            looks_ahead: looks_at_words || looks.contains(Look::EndLF) || looks.contains(Look::End),
            literal: literal(&hir),
            dfa: automaton(nfa)?,
        });
        self.compiled.insert(pattern.to_owned(), Arc::clone(&regex));
        Ok(regex)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

fn parse(pattern: &str) -> Result<Hir, RegexError> {
    regex_syntax::ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .nest_limit(NESTING)
        .build()
        .parse(pattern)
        .map_err(|error| RegexError::Syntax(first_line(&error)))
}

/// The parser's reason, without the picture of the expression.
fn first_line(error: &regex_syntax::Error) -> String {
    match error {
        regex_syntax::Error::Parse(error) => error.kind().to_string(),
        regex_syntax::Error::Translate(error) => error.kind().to_string(),
        _ => "unreadable".into(),
    }
}

fn compile(hir: &Hir) -> Result<NFA, RegexError> {
    thompson::Compiler::new()
        .configure(
            thompson::Config::new()
                .utf8(false)
                .which_captures(WhichCaptures::None)
                .nfa_size_limit(Some(ONE_BYTES)),
        )
        .build_from_hir(hir)
        .map_err(|error| match error.size_limit() {
            Some(limit_bytes) => RegexError::TooLarge { limit_bytes },
            None => RegexError::Syntax(error.to_string()),
        })
}

fn automaton(nfa: NFA) -> Result<DFA, RegexError> {
    DFA::builder()
        .configure(
            DFA::config()
                .match_kind(MatchKind::LeftmostFirst)
                .prefilter(None::<Prefilter>)
                .cache_capacity(CACHE_BYTES)
                // The few that don't fit get what they need, which their size bounds.
                .skip_cache_capacity_check(true),
        )
        .build_from_nfa(nfa)
        .map_err(|error| RegexError::Syntax(error.to_string()))
}

/// The longest string that is a part of every match, as it stands. Case is told by the caller's automaton.
fn literal(hir: &Hir) -> Option<Literal> {
    fn visit(hir: &Hir, best: &mut Vec<u8>, run: &mut Vec<u8>) {
        use regex_syntax::hir::{Class, HirKind};
        let finish = |run: &mut Vec<u8>, best: &mut Vec<u8>| {
            if run.len() > best.len() {
                best.clone_from(run);
            }
            run.clear();
        };
        match hir.kind() {
            HirKind::Literal(literal) => run.extend(&literal.0),
            HirKind::Class(Class::Bytes(class)) => match case_of_one_letter(class) {
                Some(letter) => run.push(letter),
                None => finish(run, best),
            },
            HirKind::Concat(parts) => {
                for part in parts {
                    visit(part, best, run);
                }
            }
            HirKind::Capture(capture) => visit(&capture.sub, best, run),
            HirKind::Repetition(repetition) => {
                if repetition.min > 0 {
                    visit(&repetition.sub, best, run);
                }
                finish(run, best);
            }
            HirKind::Look(_) | HirKind::Empty => {}
            HirKind::Class(Class::Unicode(_)) | HirKind::Alternation(_) => finish(run, best),
        }
    }
    let (mut best, mut run) = (Vec::new(), Vec::new());
    visit(hir, &mut best, &mut run);
    if run.len() > best.len() {
        best = run;
    }
    best.make_ascii_lowercase();
    (!best.is_empty()).then(|| Literal { bytes: best.into() })
}

/// `[Aa]`, which is what a letter becomes where case doesn't matter.
fn case_of_one_letter(class: &regex_syntax::hir::ClassBytes) -> Option<u8> {
    match class.ranges() {
        [upper, lower]
            if upper.start() == upper.end()
                && lower.start() == lower.end()
                && upper.start().is_ascii_uppercase()
                && lower.start() == upper.start().to_ascii_lowercase() =>
        {
            Some(lower.start())
        }
        [one] if one.start() == one.end() => Some(one.start()),
        _ => None,
    }
}

/// The states that expressions have come to while scanning. One for each thread.
#[derive(Debug, Default)]
pub(crate) struct Caches {
    caches: FxHashMap<u32, Box<Cache>>,
}

impl Caches {
    fn of(&mut self, regex: &Regex) -> &mut Cache {
        if self.caches.len() >= CACHES && !self.caches.contains_key(&regex.id) {
            self.caches.clear();
        }
        self.caches
            .entry(regex.id)
            .or_insert_with(|| Box::new(regex.dfa.create_cache()))
    }

    /// Another set of rules numbers its expressions anew.
    pub(crate) fn clear(&mut self) {
        self.caches.clear();
    }
}

/// Whether an expression matches anywhere in the data.
#[cfg(test)]
pub(crate) fn matches_whole(pattern: &str, data: &[u8]) -> bool {
    let regex = Compiler::default().compile(pattern).expect(pattern);
    regex
        .end_of_match(&mut Caches::default(), data, 0, data.len())
        .is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_of_runaway_size_is_refused() {
        for pattern in [
            "(?:a{1000}){1000}",
            "(?:(?:[a-z0-9]{1,300}x){1,300}y){1,300}",
            "(?:a{1,65535}){1,65535}",
        ] {
            let error = Compiler::default().compile(pattern).unwrap_err();
            assert!(
                matches!(error, RegexError::TooLarge { .. }),
                "{pattern}: {error}"
            );
        }
        let deep = format!("{}a{}", "(?:".repeat(200), ")".repeat(200));
        assert!(Compiler::default().compile(&deep).is_err());
    }

    #[test]
    fn the_sum_of_all_is_bounded() {
        let mut compiler = Compiler::default();
        let refused =
            (0..10_000).find_map(|n| compiler.compile(&format!("x{n}[a-z]{{3000}}")).err());
        assert!(matches!(refused, Some(RegexError::AllTooLarge { .. })));
        assert!(compiler.bytes() <= ALL_BYTES + ONE_BYTES);
    }

    #[test]
    fn the_same_expression_is_compiled_once() {
        let mut compiler = Compiler::default();
        let first = compiler.compile("a+b").unwrap();
        assert!(Arc::ptr_eq(&first, &compiler.compile("a+b").unwrap()));
    }

    #[test]
    fn a_literal_is_in_every_match() {
        for (pattern, literal) in [
            ("(?i:User)-agent", Some("user-agent")),
            ("ab(?:c|d)efg", Some("efg")),
            ("(?:ab)+cd", Some("ab")),
            ("a*b?[cd]", None),
            ("x|y", None),
        ] {
            let regex = Compiler::default().compile(pattern).unwrap();
            let found = regex.literal.as_ref();
            assert_eq!(
                found.map(|literal| literal.bytes.to_vec()),
                literal.map(|literal| literal.as_bytes().to_vec()),
                "{pattern}"
            );
        }
    }

    #[test]
    fn more_expressions_than_caches_still_match() {
        let mut compiler = Compiler::default();
        let mut caches = Caches::default();
        for round in 0..2 {
            for n in 0..CACHES + 9 {
                let regex = compiler.compile(&format!("x{n}y")).unwrap();
                let data = format!("..x{n}y..");
                let found = regex.end_of_match(&mut caches, data.as_bytes(), 0, data.len());
                assert!(found.is_some(), "{n} in round {round}");
            }
        }
        assert!(caches.caches.len() <= CACHES);
    }
}
