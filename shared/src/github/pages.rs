//! Lists that GitHub gives page by page.

use reqwest::Url;
use reqwest::header::{HeaderMap, LINK};
use serde::de::DeserializeOwned;

use super::call::{Call, Caller};
use super::client::GitHub;
use super::error::GitHubError;

/// The most items of a page, in every list that jitgate reads. Source: GitHub's OpenAPI description.
pub(super) const PAGE_SIZE: usize = 100;

/// One page's JSON.
pub(super) trait PageJson: DeserializeOwned {
    type Item;

    fn items(self) -> Vec<Self::Item>;

    /// How many items the whole list has, where GitHub says so.
    fn total(&self) -> Option<usize> {
        None
    }
}

impl<T: DeserializeOwned> PageJson for Vec<T> {
    type Item = T;

    fn items(self) -> Self {
        self
    }
}

/// Where a list goes on.
enum Position {
    /// The page of that number.
    Page(usize),
    /// The beginning of a list whose pages are reached by cursors.
    Start,
    /// After the cursor of the page before.
    After(String),
}

/// Reads a list one page at a time, so that the reader can stop early. A page that fails in passing is repeated by itself.
pub(super) struct Pages<'a> {
    github: &'a GitHub,
    caller: Caller<'a>,
    call: Call<'a>,
    /// `None` after the last page.
    next: Option<Position>,
    items_read: usize,
}

impl<'a> Pages<'a> {
    /// A list whose pages have numbers.
    pub(super) fn numbered(github: &'a GitHub, caller: Caller<'a>, call: Call<'a>) -> Self {
        Self { github, caller, call, next: Some(Position::Page(1)), items_read: 0 }
    }

    /// A list in which each page names the cursor of the next.
    pub(super) fn with_cursors(github: &'a GitHub, caller: Caller<'a>, call: Call<'a>) -> Self {
        Self { github, caller, call, next: Some(Position::Start), items_read: 0 }
    }

    /// Whether another page follows.
    pub(super) fn has_next(&self) -> bool {
        self.next.is_some()
    }

    /// The next page's items; `None` after the last page.
    pub(super) async fn next<P: PageJson>(&mut self) -> Result<Option<Vec<P::Item>>, GitHubError> {
        let Some(position) = self.next.take() else { return Ok(None) };
        let own = self.call.query.len();
        self.call.query.push(("per_page", PAGE_SIZE.to_string()));
        match &position {
            Position::Page(number) => self.call.query.push(("page", number.to_string())),
            Position::Start => {}
            Position::After(cursor) => self.call.query.push(("cursor", cursor.clone())),
        }
        let answer = self.github.call_with_headers::<P>(self.caller, &self.call).await;
        self.call.query.truncate(own);
        let answer = answer?;
        let total = answer.body.total();
        let items = answer.body.items();
        self.items_read += items.len();
        self.next = match position {
            Position::Page(_) if items.len() < PAGE_SIZE => None,
            Position::Page(_) if total.is_some_and(|total| self.items_read >= total) => None,
            Position::Page(number) => Some(Position::Page(number + 1)),
            Position::Start | Position::After(_) => next_cursor(&answer.headers).map(Position::After),
        };
        Ok(Some(items))
    }

    /// The items of all pages that `keep` wants.
    pub(super) async fn collect<P: PageJson>(
        mut self,
        keep: impl Fn(&P::Item) -> bool,
    ) -> Result<Vec<P::Item>, GitHubError> {
        let mut all = Vec::new();
        while let Some(items) = self.next::<P>().await? {
            all.extend(items.into_iter().filter(&keep));
        }
        Ok(all)
    }
}

/// `Link: <https://…?cursor=v1_7>; rel="next"`
fn next_cursor(headers: &HeaderMap) -> Option<String> {
    let links = headers.get(LINK)?.to_str().ok()?;
    let next = links.split(',').find(|link| link.contains("rel=\"next\""))?;
    let (_, url) = next.split_once('<')?;
    let url: Url = url.split_once('>')?.0.parse().ok()?;
    url.query_pairs().find(|(name, _)| name == "cursor").map(|(_, cursor)| cursor.into_owned())
}
