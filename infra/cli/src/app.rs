//! `jitgate app`: the GitHub App alone, for a stack that SAM or Terraform made.

use serde::Serialize;

use crate::args::{AppCommand, Common};
use crate::aws::{Aws, SecretStore};
use crate::deploy::Fleet;
use crate::github::{Maker, Place, Uses};
use crate::install;
use crate::receipt::Receipts;
use crate::screen::Screen;
use crate::setup::{API_PARAMETER, keep, signed_in, webhook_of};
use crate::trouble::Trouble;
use crate::verify::{Check, Verification};

/// What `app --json` prints.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The App's name in addresses.
    pub app: String,
    /// The accounts on which it is installed.
    pub installations: Vec<String>,
    /// What was verified.
    pub checks: Vec<Check>,
}

/// Runs the command.
pub async fn run(common: &Common, options: &AppCommand, screen: &Screen) -> Result<Report, Trouble> {
    screen.begin(format!("jitgate {} app", env!("CARGO_PKG_VERSION")));
    let aws = Aws::sign_in(common).await?;
    let receipts = Receipts::of(&aws, &common.stack)?;
    let named = options.github.github_url.clone().map(Place::new);
    let (webhook, secret, mut uses, place) = if let (Some(url), Some(secret)) = (&options.webhook_url, &options.secret)
    {
        (url.clone(), secret.clone(), Uses::default(), named.unwrap_or_default())
    } else {
        let stack = Fleet::new(&aws, screen, common).existing().await?;
        let of_stack = stack.parameters.get(API_PARAMETER).and_then(|api| Place::of_api(api));
        (
            webhook_of(&stack)?,
            stack.output("GitHubSecretArn")?,
            Uses::of_stack(&stack.parameters),
            named.or(of_stack).unwrap_or_default(),
        )
    };
    uses.in_repositories |= options.repository_scope;
    uses.reports |= options.report_to_github;
    let store = SecretStore::new(&aws, secret);
    let before = store.read().await?;
    if before.app().is_some() && !options.replace {
        return Err(Trouble::usage(
            "the secret holds the key of an App already",
            "add --replace to make another; delete the old one by hand afterwards",
        ));
    }
    let owner = Maker::owner(screen, &options.github)?;
    screen.confirm("Have GitHub make an App, and store its key in the secret?")?;
    store.write(&before).await?;
    screen.done("the secret can be written");
    let maker =
        Maker { screen, place: &place, options: &options.github, stack: &common.stack, uses, webhook: &webhook };
    let created = maker.make(&owner).await?;
    keep(&receipts, &store, &place, &created).await?;
    screen.done(format!("App {} is made; its key is in Secrets Manager, and nowhere else", created.slug));
    let secret = store.read().await?;
    let app = signed_in(&place, &secret)?;
    let installations = install::wait_for(screen, &app, &app.app().await?, &options.github).await?;
    let webhook_secret = secret.webhook_secret().unwrap_or_default();
    let verification = Verification {
        aws: &aws,
        screen,
        webhook: &webhook,
        webhook_secret: &webhook_secret,
        app: Some(&app),
        installations: &installations,
    };
    let checks = verification.run().await?;
    screen.end(format!("App {} works.", created.slug));
    let installations = installations.into_iter().map(|installation| installation.account.login).collect();
    Ok(Report { app: created.slug, installations, checks })
}
