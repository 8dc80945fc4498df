//! `jitgate doctor`: is everything right? It finds what is wrong before a job does.

mod account;
mod app;
mod finding;

use clap::Args;
use serde_json::json;

use self::finding::{Finding, Fix, Look, Wrong, exit, text};
use crate::answer::{Answer, width};
use crate::args::Common;
use crate::aws::{Aws, SecretStore, Stack, Stacks};
use crate::fleet::Deployed;
use crate::github::SignedIn;
use crate::screen::Screen;
use crate::setup::webhook_of;
use crate::trouble::Trouble;
use crate::verify::knock;

/// Options of `doctor`.
#[derive(Args, Debug)]
pub struct Doctor {
    /// Mend what can be mended and undone, with one question each
    #[arg(long)]
    pub fix: bool,
}

struct Patient<'a> {
    aws: &'a Aws,
    fleet: Deployed,
    stack: Option<Stack>,
}

/// Runs the command.
pub async fn run(common: &Common, options: &Doctor, screen: &Screen) -> Result<Answer, Trouble> {
    let aws = Aws::sign_in(common).await?;
    let stacks = Stacks::new(&aws, screen);
    let (fleet, stack) = tokio::try_join!(Deployed::find(&aws, &common.stack), stacks.find(&common.stack))?;
    let patient = Patient { aws: &aws, fleet, stack };
    let mut findings = Box::pin(patient.examine()).await;
    if options.fix {
        let wanted: Vec<(Fix, String)> = findings
            .iter()
            .filter_map(|finding| Some((finding.fix.clone()?, format!("{}: {}", finding.check, finding.what))))
            .collect();
        for (fix, what) in &wanted {
            screen.warn(what);
            screen.confirm(question(fix))?;
            patient.mend(fix).await?;
        }
        if !wanted.is_empty() {
            findings = Box::pin(patient.examine()).await;
        }
    }
    Ok(Answer { text: text(&findings, width()), json: json!({ "checks": findings }), exit: exit(&findings) })
}

fn question(fix: &Fix) -> &'static str {
    match fix {
        Fix::EnableEventSource(_) => "Enable the worker's event source?",
        Fix::PointHook => "Have the App deliver to this fleet's webhook?",
    }
}

impl Patient<'_> {
    async fn examine(&self) -> Vec<Finding> {
        let (aws, fleet) = (self.aws, &self.fleet);
        let mut findings = vec![
            Finding::of("the stack", Ok(account::stack(self.stack.as_ref()))),
            Finding::of("the functions' version", Ok(account::version(fleet))),
        ];
        let (webhook, github, account) = tokio::join!(self.webhook(), self.github(), async {
            let (source, dead, cleaner, alarms, role, definitions, subnets, starts, version) = tokio::join!(
                account::event_source(aws, fleet),
                account::dead_letters(aws, fleet),
                account::cleaner(aws, fleet),
                account::alarms(aws, fleet),
                account::ecs_role(aws),
                account::task_definitions(aws, fleet),
                account::subnets(aws, fleet),
                account::failed_starts(aws, fleet),
                account::runner_version(aws, fleet),
            );
            vec![
                Finding::of("the worker's event source", source),
                Finding::of("dead letters", dead),
                Finding::of("the cleaner's passes", cleaner),
                Finding::of("alarms", alarms),
                Finding::of("ECS's role", role),
                Finding::of("task definitions", definitions),
                Finding::of("subnets: a way out, and free addresses", subnets),
                Finding::of("starts of the last hour", starts),
                Finding::of("the runner's version", version),
            ]
        });
        findings.extend(webhook.into_iter().chain(github).chain(account));
        findings
    }

    async fn webhook(&self) -> Vec<Finding> {
        let (unsigned, signed) = tokio::join!(self.refuses_unsigned(), self.takes_signed());
        vec![Finding::of("an unsigned delivery is refused", unsigned), Finding::of("a signed ping is taken", signed)]
    }

    async fn refuses_unsigned(&self) -> Look {
        Ok(match knock(self.aws, &self.url()?, None).await? {
            401 => Ok(String::new()),
            403 => Err(Wrong::new(
                "AWS answers 403 in the webhook's place",
                "let nothing in your organisation forbid public Function URLs, then run `jitgate upgrade`",
            )),
            status => Err(Wrong::new(format!("it answers {status}"), "read the webhook's log")),
        })
    }

    async fn takes_signed(&self) -> Look {
        let Some(key) = self.secret().read().await?.webhook_secret() else {
            return Ok(Err(Wrong::new("the secret has no webhook_secret", "run `jitgate app --replace`")));
        };
        Ok(match knock(self.aws, &self.url()?, Some(&key)).await? {
            200 => Ok(String::new()),
            status => Err(Wrong::new(format!("it answers {status}"), "read the webhook's log")),
        })
    }

    async fn github(&self) -> Vec<Finding> {
        let filled = "the secret holds an App's key";
        let signed_in = match self.fleet.app(self.aws).await {
            Ok(Some(app)) => app,
            Ok(None) => {
                let wrong = Wrong::new("it is not filled in, or holds a token", "run `jitgate app`");
                return vec![Finding::of(filled, Ok(Err(wrong)))];
            }
            Err(trouble) if trouble.exit == crate::trouble::Exit::Failed => {
                return vec![Finding::of(filled, Ok(Err(Wrong::new(trouble.what, trouble.remedy))))];
            }
            Err(trouble) => return vec![Finding::of(filled, Err(trouble))],
        };
        let mut findings = vec![Finding::of(filled, Ok(Ok(String::new())))];
        let (app, all, log, hook) =
            tokio::join!(signed_in.app(), signed_in.installations(), signed_in.deliveries(), async {
                app::hook(&signed_in, &self.url()?).await
            },);
        let app = app.map_err(Trouble::from);
        findings.push(Finding::of("the App signs in", app::signs_in(&app)));
        let Ok(app) = app else { return findings };
        let all = all.map_err(Trouble::from);
        let registering = match &all {
            Ok(all) => app::registering(&signed_in, &self.fleet, all).await,
            Err(trouble) => Err(trouble.clone()),
        };
        let uses = self.fleet.uses();
        findings.extend([
            Finding::of("the App's permissions and event", Ok(app::asks_for(&app, uses))),
            Finding::of("the App's webhook", hook),
            Finding::of("deliveries", log.map(|log| app::deliveries(&log)).map_err(Trouble::from)),
            Finding::of("installations", all.map(|all| app::installations(&app, &all))),
            Finding::of("runners may be registered, in the classes' groups", registering),
        ]);
        findings
    }

    async fn mend(&self, fix: &Fix) -> Result<(), Trouble> {
        match fix {
            Fix::EnableEventSource(id) => self.aws.enable_event_source(id).await,
            Fix::PointHook => {
                let app = self.app().await?;
                let secret = self.secret().read().await?.webhook_secret();
                let secret = secret.ok_or_else(|| {
                    Trouble::failed("the secret has no webhook_secret", "run `jitgate app --replace`")
                })?;
                app.set_hook(&self.url()?, &secret).await?;
                Ok(())
            }
        }
    }

    async fn app(&self) -> Result<SignedIn, Trouble> {
        let app = self.fleet.app(self.aws).await?;
        app.ok_or_else(|| Trouble::failed("the secret holds no App's key", "run `jitgate app`"))
    }

    fn secret(&self) -> SecretStore {
        SecretStore::new(self.aws, self.fleet.setting("GITHUB_SECRET_ID").unwrap_or_default())
    }

    fn url(&self) -> Result<url::Url, Trouble> {
        if let Some(stack) = &self.stack {
            return webhook_of(stack);
        }
        let url = self.fleet.setting("WEBHOOK_URL")?;
        url.parse().map_err(|_| Trouble::failed(format!("WEBHOOK_URL is {url:?}"), "run `terraform apply`"))
    }
}
