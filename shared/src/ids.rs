//! GitHub's ids, each a type of its own so that none is passed for another.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }
    };
}

id!(
    /// GitHub's id of a workflow job: one attempt of it, since a re-run makes new ones.
    JobId
);
id!(
    /// GitHub's id of a workflow run.
    RunId
);
id!(
    /// GitHub's id of an account: an organisation or a user.
    OwnerId
);
id!(
    /// GitHub's id of an App's installation.
    InstallationId
);
id!(
    /// GitHub's id of a registration.
    RunnerId
);
id!(
    /// GitHub's id of a check run.
    CheckRunId
);

/// GitHub's ids are JSON numbers that JavaScript reads, and so below 2^53. From here on they are ours.
const FIRST_WARM_ID: u64 = 10_000_000_000_000_000;

impl JobId {
    /// What stands for a job's id where a runner is kept ready for whichever job comes: of a class, a scope and a slot
    /// there. It has 17 digits, so that names and tokens have room for it.
    pub fn of_warm(class: &str, scope: &str, slot: usize) -> Self {
        let digest = Sha256::digest(format!("{class}\n{scope}\n{slot}"));
        let bytes = digest.iter().take(8).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
        Self(FIRST_WARM_ID + bytes % (9 * FIRST_WARM_ID))
    }

    /// Whether it stands for a runner that is kept ready, and not for a job.
    pub fn is_warm(self) -> bool {
        self.0 >= FIRST_WARM_ID
    }
}
