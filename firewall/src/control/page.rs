//! Pages: how much one answer holds, and where the next begins.

use super::FilterError;

/// Items that a page shows unless told, and at most.
const DEFAULT: usize = 100;
const MAX: usize = 1_000;

/// Which part of a list is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// Where it begins, in a list's own numbers.
    pub(super) first: u32,
    pub(super) limit: usize,
}

impl Page {
    pub(super) fn of(cursor: Option<&str>, limit: Option<usize>) -> Result<Self, FilterError> {
        let first = match cursor {
            None => 0,
            Some(cursor) => cursor.parse().map_err(|_| FilterError {
                parameter: "cursor",
                problem: "it does not come from the page before".into(),
            })?,
        };
        let limit = limit.unwrap_or(DEFAULT);
        if !(1..=MAX).contains(&limit) {
            return Err(FilterError {
                parameter: "limit",
                problem: format!("{limit} is not between 1 and {MAX}"),
            });
        }
        Ok(Self { first, limit })
    }

    /// As many as fit, and the cursor of what comes after. Items come with their numbers.
    pub(super) fn cut<T>(
        &self,
        mut items: impl Iterator<Item = (u32, T)>,
    ) -> (Vec<T>, Option<String>) {
        let shown = items.by_ref().take(self.limit);
        let shown = shown.map(|(_, item)| item).collect();
        let next = items.next().map(|(number, _)| number.to_string());
        (shown, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_to_the_end() {
        let items = || (0..250u32).map(|n| (n, n));
        let (mut seen, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let page = Page::of(cursor.as_deref(), Some(100)).unwrap();
            let rest = items().skip_while(|(n, _)| *n < page.first);
            let (shown, next) = page.cut(rest);
            assert!(shown.len() <= 100);
            seen.extend(shown);
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, (0..250).collect::<Vec<_>>());
    }

    #[test]
    fn a_limit_or_cursor_that_can_not_be_is_named() {
        let parameter = |cursor, limit| Page::of(cursor, limit).unwrap_err().parameter;
        assert_eq!(parameter(None, Some(0)), "limit");
        assert_eq!(parameter(None, Some(MAX + 1)), "limit");
        assert_eq!(parameter(Some("x"), None), "cursor");
        assert_eq!(parameter(Some("-1"), None), "cursor");
        assert_eq!(parameter(Some("4294967296"), None), "cursor");
    }
}
