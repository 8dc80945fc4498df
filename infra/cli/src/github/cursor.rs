//! The way to the next page of a list that is paged by a cursor.

/// The cursor in a `Link` header's address of the next page. Only that is taken from it: the address is GitHub's own view of
/// itself. Source: GitHub's "Using pagination in the REST API".
pub(super) fn next_cursor(link: &str) -> Option<String> {
    let next = link.split(',').find(|each| each.contains("rel=\"next\""))?;
    let address = next.split_once('<')?.1.split_once('>')?.0;
    let url = url::Url::parse(address).ok()?;
    url.query_pairs().find(|(name, _)| name == "cursor").map(|(_, cursor)| cursor.into_owned())
}

#[cfg(test)]
mod tests {
    use super::next_cursor;

    #[test]
    fn the_next_page_is_found_by_its_cursor_alone() {
        let next = r#"<https://api.github.com/app/hook/deliveries?per_page=100&cursor=v1_12%2B3>; rel="next""#;
        assert_eq!(next_cursor(next).as_deref(), Some("v1_12+3"));
        let first = r#"<https://api.github.com/app/hook/deliveries?per_page=100>; rel="first""#;
        assert_eq!(next_cursor(&format!("{first}, {next}")).as_deref(), Some("v1_12+3"));
        for none in ["", first, r#"rel="next""#, r#"<no address>; rel="next""#] {
            assert_eq!(next_cursor(none), None, "{none}");
        }
    }
}
