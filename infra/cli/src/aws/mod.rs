//! The user's AWS account.

mod alarms;
mod buckets;
mod dead_letters;
mod doors;
mod errors;
mod failures;
mod functions;
mod images;
mod json;
mod left;
mod log_windows;
mod logs;
mod metrics;
mod network;
mod query;
mod quotas;
mod roles;
mod routes;
mod schedules;
mod secret;
mod signed;
mod stacks;
mod tasks;

pub use buckets::{Bucket, Key};
pub use dead_letters::DeadLetter;
pub use doors::{Door, Doorway};
pub use errors::trouble_of;
pub use images::Registry;
pub use log_windows::{AllLines, LogGroup};
pub use network::{Subnet, offer};
pub use query::Query;
pub use quotas::Quota;
pub use roles::{ensure_ecs_role, has_ecs_role};
pub use routes::{WayOut, WaysOut};
pub use schedules::Caller;
pub use secret::{FleetSecret, SecretStore};
pub use stacks::{Change, ChangeSet, Stack, Stacks, Standing, Template, VERSION_TAG, Wanted, first_failure};
pub use tasks::{Definition, RunnerTask};

use aws_config::{BehaviorVersion, Region, SdkConfig};

use crate::args::Common;
use crate::trouble::{Exit, Trouble};

/// A signed-in AWS account in one region.
pub struct Aws {
    /// What all clients share.
    pub sdk: SdkConfig,
    /// The account's number.
    pub account: String,
    /// `aws`, `aws-cn` or `aws-us-gov`.
    pub partition: String,
    /// Who calls.
    pub caller: String,
    /// The region.
    pub region: String,
}

impl Aws {
    /// Takes the credentials as every AWS tool does: variables, profiles, SSO, processes, containers and instances.
    pub async fn sign_in(common: &Common) -> Result<Self, Trouble> {
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12());
        if let Some(region) = &common.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(profile) = &common.profile {
            loader = loader.profile_name(profile);
        }
        let sdk = loader.load().await;
        let Some(region) = sdk.region().map(ToString::to_string) else {
            return Err(Trouble::usage("no AWS region is set", "add --region, or set AWS_REGION"));
        };
        let sign_in = || match &common.profile {
            Some(profile) => format!("sign in, such as by `aws sso login --profile {profile}`"),
            None => "sign in, such as by `aws sso login` or `aws configure`, or add --profile".to_owned(),
        };
        let answer = aws_sdk_sts::Client::new(&sdk).get_caller_identity().send().await.map_err(|error| {
            let mut trouble = trouble_of("who you are (sts:GetCallerIdentity)", &error);
            if trouble.what.contains("no credentials found") {
                // The official words go on with a line for each place that was looked at.
                let what = "no AWS credentials: neither variables nor profiles nor this machine's role have any";
                trouble = Trouble { exit: Exit::SignIn, what: what.to_owned(), remedy: sign_in() };
            } else if error.raw_response().is_some() || !errors::is_unreachable(&error) {
                trouble = Trouble { exit: Exit::SignIn, remedy: sign_in(), ..trouble };
            }
            trouble
        })?;
        let caller = answer.arn.unwrap_or_default();
        let partition = caller.split(':').nth(1).unwrap_or("aws").to_owned();
        Ok(Self { account: answer.account.unwrap_or_default(), partition, caller, region, sdk })
    }

    /// The address at which a Function URL is called, and its `Host`. An emulator, to which `AWS_ENDPOINT_URL` points,
    /// answers at its own address.
    pub fn way_to(&self, url: &url::Url) -> (url::Url, Option<String>) {
        let Some(emulator) = self.sdk.endpoint_url().and_then(|url| url::Url::parse(url).ok()) else {
            return (url.clone(), None);
        };
        let mut way = emulator;
        way.set_path(url.path());
        (way, url.host_str().map(ToOwned::to_owned))
    }

    /// Whether `AWS_ENDPOINT_URL` points to an emulator.
    pub fn is_emulated(&self) -> bool {
        self.sdk.endpoint_url().is_some()
    }

    /// The address of a service by the first part of its host, such as `lambda.us-east-1`, without a slash at the end.
    fn endpoint(&self, host: &str) -> String {
        match self.sdk.endpoint_url() {
            Some(emulator) => emulator.trim_end_matches('/').to_owned(),
            None => format!("https://{host}.{}", self.domain()),
        }
    }

    /// The domain of AWS's services here.
    pub fn domain(&self) -> &'static str {
        if self.partition == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" }
    }
}
