//! The pages that the browser of whoever creates the App shows.

use url::Url;

/// What a page posts to GitHub.
pub struct HandOver<'a> {
    /// GitHub's form.
    pub form: &'a Url,
    /// The manifest as JSON.
    pub manifest: &'a str,
}

/// A page that posts the manifest to GitHub by itself, or by a button where scripts are off. It holds no secret.
pub fn hand_over(page: &HandOver<'_>, nonce: &str) -> String {
    let (form, manifest) = (escaped(page.form.as_str()), escaped(page.manifest));
    whole(
        "Create the GitHub App",
        &format!(
            r#"<p>GitHub is about to ask you to create an App. It registers runners and reads jobs, and nothing else.</p>
<form id="manifest" action="{form}" method="post">
<input type="hidden" name="manifest" value="{manifest}">
<button type="submit">Continue to GitHub</button>
</form>
<script nonce="{nonce}">document.getElementById("manifest").submit()</script>"#
        ),
    )
}

/// A page with a sentence.
pub(super) fn sentence(title: &str, text: &str) -> String {
    whole(title, &format!("<p>{}</p>", escaped(text)))
}

fn whole(title: &str, body: &str) -> String {
    format!(
        r#"<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>jitgate: {title}</title></head>
<body>
<h1>{title}</h1>
{body}
</body>
</html>
"#
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_manifest_can_leave_its_field() {
        let form = Url::parse("https://github.com/settings/apps/new?state=s").unwrap();
        let manifest = r#"{"name":"\"><script>alert('1')</script>"}"#;
        let page = hand_over(&HandOver { form: &form, manifest }, "n");
        assert_eq!(page.matches("<script").count(), 1);
        assert!(page.contains("&quot;&gt;&lt;script&gt;alert(&#39;1&#39;)"));
    }
}
