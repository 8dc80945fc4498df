//! `RUNNER_CLASSES` as it is written: the JSON of a class, not yet checked.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, Deserialize, Deserializer, IntoDeserializer as _, MapAccess, SeqAccess, Visitor};

use super::size::Architecture;
use super::warm::Day;

/// Unknown keys are refused, so that a typo is an error and not a default; `null` means absent.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClassJson {
    pub(super) name: String,
    pub(super) labels: Vec<String>,
    pub(super) runner_group: Option<String>,
    pub(super) runner_group_id: Option<u64>,
    pub(super) task_definition: TaskDefinitionJson,
    pub(super) architecture: Option<TextOnly<Architecture>>,
    pub(super) container: Option<String>,
    pub(super) cpu: Option<f64>,
    pub(super) memory: Option<f64>,
    pub(super) disk: Option<u32>,
    pub(super) sizes: Option<ObjectOnly<SizesJson>>,
    pub(super) subnets: Vec<String>,
    pub(super) security_groups: Option<Vec<String>>,
    pub(super) assign_public_ip: Option<bool>,
    pub(super) capacity: Option<Vec<CapacityJson>>,
    pub(super) fallback: Option<Vec<String>>,
    pub(super) max_runners: Option<u32>,
    pub(super) max_per_owner: Option<u32>,
    pub(super) max_per_repository: Option<u32>,
    pub(super) warm: Option<Vec<ObjectOnly<WarmJson>>>,
    pub(super) idle_minutes: Option<u32>,
    pub(super) start_minutes: Option<u32>,
    pub(super) lifetime_minutes: Option<u32>,
    pub(super) environment: Option<BTreeMap<String, String>>,
    pub(super) task_role: Option<String>,
    pub(super) execution_role: Option<String>,
    pub(super) tags: Option<BTreeMap<String, String>>,
    pub(super) repositories: Option<Vec<String>>,
    pub(super) gate: Option<bool>,
    pub(super) job_started: Option<String>,
    pub(super) job_completed: Option<String>,
    pub(super) public_repositories: Option<bool>,
    pub(super) fork_pull_requests: Option<bool>,
    pub(super) self_hosted: Option<bool>,
    pub(super) requires: Option<Vec<String>>,
    pub(super) excluded_labels: Option<Vec<String>>,
    pub(super) translate: Option<Vec<ObjectOnly<RuleJson>>>,
    pub(super) compatible: Option<Vec<String>>,
    pub(super) ignored_labels: Option<Vec<String>>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SizesJson {
    pub(super) cpu: Option<f64>,
    pub(super) memory: Option<f64>,
    pub(super) disk: Option<u32>,
    pub(super) arch: Option<bool>,
    pub(super) spot: Option<bool>,
    pub(super) run: Option<bool>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WarmJson {
    pub(super) count: u32,
    #[serde(rename = "for")]
    pub(super) place: Option<String>,
    pub(super) days: Option<Vec<TextOnly<Day>>>,
    pub(super) hours: Option<String>,
    pub(super) time_zone: Option<String>,
}

/// What a label of another system means.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleJson {
    pub(super) label: String,
    pub(super) means: MeansJson,
    pub(super) drops: Option<String>,
}

/// Our own words, or `refused: REASON`.
pub(super) enum MeansJson {
    Words(Vec<String>),
    Text(String),
}

/// A file of `compatible/`.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SystemJson {
    /// For readers only, as are `unknown`, what the sources do not say, and `read`. `docs/LABELS.md` lists them, too.
    #[serde(rename = "source")]
    _source: Vec<String>,
    #[serde(rename = "unknown")]
    _unknown: Option<Vec<String>>,
    #[serde(rename = "read")]
    _read: String,
    pub(super) combined: Option<ObjectOnly<CombinedJson>>,
    pub(super) lists: Option<Vec<String>>,
    pub(super) translate: Vec<ObjectOnly<RuleJson>>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CombinedJson {
    pub(super) first: String,
    pub(super) separators: String,
}

impl<'de> Deserialize<'de> for MeansJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordsOrText;
        impl<'de> Visitor<'de> for WordsOrText {
            type Value = MeansJson;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of labels, or \"refused: REASON\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(MeansJson::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(MeansJson::Words)
            }
        }
        deserializer.deserialize_any(WordsOrText)
    }
}

/// A task definition, or one for each architecture.
pub(super) enum TaskDefinitionJson {
    One(String),
    Each(EachJson),
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EachJson {
    pub(super) x86_64: Option<String>,
    pub(super) arm64: Option<String>,
}

impl<'de> Deserialize<'de> for TaskDefinitionJson {
    /// An untagged enum would not say which key of the object is wrong.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrEach;
        impl<'de> Visitor<'de> for OneOrEach {
            type Value = TaskDefinitionJson;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a task definition, or an object with one for x86_64 and one for arm64")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(TaskDefinitionJson::One(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                EachJson::deserialize(MapAccessDeserializer::new(map)).map(TaskDefinitionJson::Each)
            }
        }
        deserializer.deserialize_any(OneOrEach)
    }
}

/// What the class's tasks run on: one of Fargate's, or a capacity provider.
pub(super) enum CapacityJson {
    Fargate(FargateJson),
    Provider(ProviderJson),
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum FargateJson {
    OnDemand,
    Spot,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProviderJson {
    pub(super) provider: String,
}

impl<'de> Deserialize<'de> for CapacityJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrProvider;
        impl<'de> Visitor<'de> for TextOrProvider {
            type Value = CapacityJson;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("\"on-demand\", \"spot\", or an object with the name of a provider")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                FargateJson::deserialize(text.into_deserializer()).map(CapacityJson::Fargate)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                ProviderJson::deserialize(MapAccessDeserializer::new(map)).map(CapacityJson::Provider)
            }
        }
        deserializer.deserialize_any(TextOrProvider)
    }
}

/// Reads a struct from a JSON object only; serde would also take a list of the fields' values.
pub(super) struct ObjectOnly<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for ObjectOnly<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Only<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Only<T> {
            type Value = ObjectOnly<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(ObjectOnly)
            }
        }
        deserializer.deserialize_map(Only(PhantomData))
    }
}

/// Reads an enum from a JSON string only; serde would also take `{"spot": null}`.
pub(super) struct TextOnly<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for TextOnly<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        T::deserialize(text.into_deserializer()).map(TextOnly)
    }
}

impl<T> TextOnly<T> {
    pub(super) fn all(texts: Vec<Self>) -> Vec<T> {
        texts.into_iter().map(|Self(value)| value).collect()
    }
}
