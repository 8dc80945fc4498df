//! Whatever arrives is read or refused, and nothing panics: requests, deliveries, messages, labels, classes, and the answers of
//! GitHub and ECS.
//!
//! Each input is one of the [`seeds`], changed at random. A run takes a few seconds. `PROPTEST_CASES` makes it longer, as
//! `.github/workflows/hostile.yml` does each night. An input that failed once becomes a seed.
//!
//! Why proptest: bolero under `cargo test` draws at random, too, without these changes that keep most of an input valid, and
//! the engines that follow coverage need a nightly compiler or an instrumented build of everything.

use std::fmt::Write as _;
use std::time::Duration;

use jitgate::classes::{Asked, RunnerClasses};
use jitgate::config::WebhookConfig;
use jitgate::github::{is_login, is_repository};
use jitgate::job::Message;
use jitgate_tests::payloads::WorkflowJobEvent;
use jitgate_tests::wire::Fault;
use jitgate_tests::world::{START, World, runner_classes};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use webhook::HttpRequest;
use webhook::delivery::{Meaning, read};
use webhook::signature::Signature;

/// Cases of a target, unless `PROPTEST_CASES` says otherwise.
const CASES: u32 = 1_000;

fn config(cases: u32) -> ProptestConfig {
    let failure_persistence = None;
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => ProptestConfig { failure_persistence, ..ProptestConfig::default() },
        None => ProptestConfig { cases, failure_persistence, ..ProptestConfig::default() },
    }
}

/// A change of an input.
#[derive(Clone, Debug)]
enum Change {
    Delete(Index, Index),
    Repeat(Index, Index),
    Byte(Index, u8),
    Insert(Index, Index),
    /// A piece of another seed.
    Splice(Index, Index, Index),
    /// Another value in the JSON.
    Value(Index, Index),
}

/// What parsers stumble over.
const MORSELS: [&[u8]; 24] = [
    b"\0",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\\ud800",
    b"\\ud800\\ud800",
    b"\\u0000",
    b"\xed\xa0\x80",
    b"18446744073709551616",
    b"-1",
    b"1e400",
    b"0.1",
    b"9007199254740993",
    b"null",
    b"true",
    b"[]",
    b"{}",
    b"\"\"",
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    b"{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":",
    b"\"id\":1,\"id\":2,",
    b"../..",
    b"\r\nx-evil: 1",
    "\u{202e}\u{0130}".as_bytes(),
    b"'\"\\/",
];

fn change() -> impl Strategy<Value = Change> {
    let index = any::<Index>;
    prop_oneof![
        (index(), index()).prop_map(|(at, length)| Change::Delete(at, length)),
        (index(), index()).prop_map(|(at, length)| Change::Repeat(at, length)),
        (index(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        (index(), index()).prop_map(|(at, morsel)| Change::Insert(at, morsel)),
        (index(), index(), index()).prop_map(|(at, seed, length)| Change::Splice(at, seed, length)),
        (index(), index()).prop_map(|(at, morsel)| Change::Value(at, morsel)),
    ]
}

/// A seed's number and changes of it.
fn input() -> impl Strategy<Value = (Index, Vec<Change>)> {
    (any::<Index>(), vec(change(), 0..5))
}

fn changed(seeds: &[Vec<u8>], (seed, changes): &(Index, Vec<Change>)) -> Vec<u8> {
    let mut bytes = seed.get(seeds).clone();
    for change in changes {
        let at = |index: &Index, bytes: &[u8]| index.index(bytes.len() + 1);
        let piece =
            |from: usize, length: &Index, bytes: &[u8]| from..from + length.index((bytes.len() - from).min(64) + 1);
        match change {
            Change::Delete(index, length) => _ = bytes.drain(piece(at(index, &bytes), length, &bytes)),
            Change::Repeat(index, length) => {
                let range = piece(at(index, &bytes), length, &bytes);
                let repeated = bytes[range.clone()].repeat(3);
                bytes.splice(range, repeated);
            }
            Change::Byte(index, byte) if !bytes.is_empty() => {
                let at = index.index(bytes.len());
                bytes[at] = *byte;
            }
            Change::Byte(..) => {}
            Change::Insert(index, morsel) => {
                let at = at(index, &bytes);
                bytes.splice(at..at, morsel.get(&MORSELS).iter().copied());
            }
            Change::Splice(index, seed, length) => {
                let at = at(index, &bytes);
                let other = seed.get(seeds);
                bytes.splice(at..at, other[piece(0, length, other)].to_vec());
            }
            Change::Value(index, morsel) => {
                let colons: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at] == b':').collect();
                if let Some(from) = (!colons.is_empty()).then(|| *index.get(&colons) + 1) {
                    let length = bytes[from..].iter().position(|byte| b",}]".contains(byte)).unwrap_or_default();
                    bytes.splice(from..from + length, morsel.get(&MORSELS).iter().copied());
                }
            }
        }
    }
    bytes
}

/// JSON that is deep, long or ambiguous, and what is no JSON at all.
fn seeds() -> Vec<Vec<u8>> {
    let deep = |depth: usize| [b"[".repeat(depth), b"]".repeat(depth)].concat();
    let objects = [br#"{"a":"#.repeat(10_000), b"1".to_vec(), b"}".repeat(10_000)].concat();
    let mut seeds =
        vec![Vec::new(), b"null".to_vec(), b"[]".to_vec(), b"{}".to_vec(), deep(100), deep(100_000), objects];
    seeds.extend(MORSELS.map(<[u8]>::to_vec));
    seeds
}

fn deliveries() -> Vec<Vec<u8>> {
    let mut seeds = seeds();
    for event in WorkflowJobEvent::examples().into_iter().take(4).chain([
        WorkflowJobEvent::queued().labels(["fargate"]),
        WorkflowJobEvent::completed().labels(["fargate"]),
        WorkflowJobEvent::queued().labels(["fargate", "linux", "cpu=4", "ü", "run=1"]),
    ]) {
        seeds.push(event.bytes());
    }
    let text = String::from_utf8(WorkflowJobEvent::queued().labels(["fargate"]).bytes()).expect("JSON is text");
    for (from, to) in [
        ("\"id\":", "\"id\":18446744073709551616,\"id\":"),
        ("\"action\":\"queued\"", "\"action\":\"queued\",\"action\":\"completed\""),
        ("\"private\":", "\"private\":true,\"private\":"),
        ("\"labels\":[", "\"labels\":[\"\\ud800\","),
        ("\"labels\":[", "\"labels\":[null,"),
        ("\"full_name\":\"", "\"full_name\":\"../../"),
        ("\"login\":\"", "\"login\":\"..\\u0000\\n"),
    ] {
        seeds.push(text.replacen(from, to, 1).into_bytes());
    }
    seeds.push(format!("\u{feff}{text}").into_bytes());
    seeds.push(format!("[{text}]").into_bytes());
    seeds
}

fn messages() -> Vec<Vec<u8>> {
    let message = r#"{"v":1,"purpose":"release","job_id":4711,"run_id":815,"run_attempt":3,"owner":"octo-org",
        "owner_id":1,"repository":"octo-repo","organization":"octo-org","public":true,"fork":false,
        "installation_id":2,"labels":["fargate","\u00fc"],"class":"default","created_at":"2026-11-01T10:59:58.5Z",
        "html_url":"https://github.com/o/r","workflow":"CI","delivery_id":"d","attempt":2,"queued_at":1793530800,
        "born_at":1793530800,"deferrals":4,"backoff":2,"not_before":1793530800,"unsettled":true,"doubts":1,
        "seen_idle_at":1793530800}"#;
    let mut seeds = seeds();
    seeds.push(message.into());
    for (from, to) in [
        ("1793530800", "9223372036854775807"),
        ("1793530800", "-9223372036854775808"),
        ("\"attempt\":2", "\"attempt\":65535"),
        ("\"attempt\":2", "\"attempt\":2,\"attempt\":3"),
        ("\"deferrals\":4", "\"deferrals\":4294967295"),
        ("2026-11-01T10:59:58.5Z", "9999-12-31T23:59:60.999999999Z"),
    ] {
        seeds.push(message.replacen(from, to, 1).into_bytes());
    }
    seeds
}

fn labels() -> Vec<Vec<u8>> {
    [
        "fargate",
        "cpu=4",
        "cpu=4/memory=8",
        "memory=0.5",
        "disk=99999999999999999999",
        "arch=arm64",
        "spot=maybe",
        "run=1",
    ]
    .into_iter()
    .chain(["jit/cpu=4/memory=8/spot=true", "cpu=1e400", "cpu=-0", "cpu=", "=", "ci-*", "runs-on=1/cpu=4+8/ram=16", ""])
    .map(|label| label.as_bytes().to_vec())
    .chain([b"a".repeat(300), "\u{130}\u{202e}".into()])
    .collect()
}

proptest! {
    #![proptest_config(config(CASES))]

    #[test]
    fn a_request_is_read_or_refused(input in input(), header in input()) {
        let mut seeds = seeds();
        for body in ["", "e30=", "e30", "====", "\\u0000", "\\ud800"] {
            for is_base64 in ["true", "false", "1", "null"] {
                let request = format!(
                    r#"{{"version":"2.0","headers":{{"X-Hub-Signature-256":"sha256=00","x-hub-signature-256":null}},
                        "body":"{body}","isBase64Encoded":{is_base64},"requestContext":{{"http":{{"method":"POST"}}}},
                        "httpMethod":"GET"}}"#
                );
                seeds.push(request.into_bytes());
            }
        }
        if let Ok(request) = serde_json::from_slice::<HttpRequest>(&changed(&seeds, &input)) {
            let _ = (request.method().len(), request.header("x-hub-signature-256").map(Signature::parse).is_some());
            if let Ok(body) = request.body() {
                prop_assert!(body.len() <= webhook::http::LARGEST_BODY);
            }
        }
        let digits = "0".repeat(64);
        let signatures = ["sha256=", "sha1=", "", &format!("sha256={digits}"), &format!("sha256={digits},sha256={digits}")]
            .map(|header| header.as_bytes().to_vec());
        let header = changed(&signatures, &header);
        if let Some(signature) = Signature::parse(&String::from_utf8_lossy(&header)) {
            prop_assert!(header.len() == 71 && !signature.is_of(b"key", b"body"));
        }
    }

    #[test]
    fn a_delivery_becomes_a_message_that_can_be_read_or_is_refused(input in input(), id in ".{0,80}") {
        let config = WEBHOOK.with(Clone::clone);
        let body = changed(&DELIVERIES.with(Clone::clone), &input);
        if let Ok(Meaning::Job(message)) = read("workflow_job", &id, &body, &config, START) {
            let job = &message.job;
            prop_assert!(is_login(&job.owner) && is_repository(&job.repository));
            prop_assert!(job.organization.as_deref().is_none_or(is_login));
            prop_assert_eq!(Message::parse(&message.to_body()).expect("our own message"), *message);
        }
    }

    #[test]
    fn a_message_stays_the_same_or_is_refused(input in input()) {
        let body = changed(&messages(), &input);
        if let Ok(message) = Message::parse(&String::from_utf8_lossy(&body)) {
            let again = Message::parse(&message.to_body());
            prop_assert_eq!(again.expect("our own message"), message);
        }
    }

    #[test]
    fn labels_mean_a_class_or_are_refused(input in vec(input(), 0..6), owner in input()) {
        let classes = RunnerClasses::parse(
            r#"[{"name":"a","labels":["fargate","linux","ci-*"],"task_definition":{"x86_64":"x","arm64":"a"},"subnets":["s"],
                "sizes":{"cpu":16,"memory":120,"disk":200,"arch":true,"spot":true,"run":true},"compatible":["runs-on"],
                "self_hosted":true,"ignored_labels":["image=*"],"capacity":["spot","on-demand"]}]"#,
        );
        let text = |input| String::from_utf8_lossy(&changed(&labels(), input)).into_owned();
        let labels: Vec<_> = ["fargate".to_owned()].into_iter().chain(input.iter().map(text)).collect();
        let owner = text(&owner);
        if let Err(misfit) = classes.expect("valid").fit(&Asked { owner: &owner, repository: &owner, labels: &labels }) {
            prop_assert!(!misfit.to_string().is_empty());
        }
    }

    #[test]
    fn classes_are_read_or_refused(input in input()) {
        let full = r#"[{"name":"a","labels":["l"],"runner_group":"Large","container":"main","architecture":"arm64","cpu":0.25,
            "memory":0.5,"disk":50,"sizes":{"cpu":16},"security_groups":["g"],"capacity":["spot"],"max_runners":7,
            "max_per_owner":4,"idle_minutes":5,"lifetime_minutes":60,"environment":{"A":"b"},"tags":{"t":"b"},
            "repositories":["o/*"],"gate":false,"task_definition":"t","subnets":["s"],
            "warm":[{"count":1,"days":["mon"],"hours":"22-06","time_zone":"UTC","for":"o"}]}]"#;
        let seeds: Vec<_> = seeds().into_iter().chain([full.into(), runner_classes().to_string().into_bytes()]).collect();
        if let Err(problem) = RunnerClasses::parse(&String::from_utf8_lossy(&changed(&seeds, &input))) {
            prop_assert!(!problem.is_empty());
        }
    }
}

thread_local! {
    static DELIVERIES: Vec<Vec<u8>> = deliveries();
    static WEBHOOK: WebhookConfig = {
        let classes = runner_classes().to_string();
        let settings = [
            ("JOB_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/1/jobs"),
            ("GITHUB_SECRET_ID", "s"),
            ("RUNNER_CLASSES", &classes),
        ];
        WebhookConfig::from_environment(&settings.into_iter().collect()).expect("a complete environment")
    };
}

/// One answer after the other is what GitHub or ECS would never say. What lives stays, and the job runs in the end.
#[tokio::test]
async fn an_answer_of_github_or_ecs_is_read_or_refused_and_the_job_runs_in_the_end() {
    let answers: Vec<_> = seeds().into_iter().chain(hostile_answers()).collect();
    for operation in ["generate-jitconfig", "access-token", "RunTask", "list-runners", "ListTasks", "DescribeTasks"] {
        let mut world = World::unchecked(&[("GITHUB_POINTS_PER_MINUTE", "0")]).await;
        let job = world.queue_and_deliver().await;
        for (number, answer) in answers.iter().enumerate() {
            let status = if number.is_multiple_of(3) { 422 } else { 200 };
            let response = http::Response::builder().status(status).header("content-type", "application/json");
            let fault = Fault::Refuse(response.body(answer.clone().into()).expect("an answer"));
            world.aws.faults().script_times(operation, fault.clone(), 1);
            world.api.faults.script_times(operation, fault, 1);
            world.work().await;
            let _ = world.clean().await;
            world.clock.advance(Duration::from_secs(20));
        }
        world.aws.faults().clear();
        world.api.faults.clear();
        world.work_until_quiet().await;
        world.clock.advance(Duration::from_mins(10));
        world.work_until_quiet().await;
        let ran = world.github.job(job).expect("it exists").times_taken;
        assert_eq!((ran, world.dead_letters()), (1, Vec::new()), "{operation}");
    }
}

fn hostile_answers() -> Vec<Vec<u8>> {
    let mut long = String::new();
    for id in 0..500 {
        let _ =
            write!(long, r#"{{"id":{id},"name":"jit-default-{id}-1-1","os":"x","status":"offline","busy":false}},"#);
    }
    [
        r#"{"runner":{"id":18446744073709551616},"encoded_jit_config":"x"}"#.to_owned(),
        r#"{"runner":{"id":1,"id":2},"encoded_jit_config":["x"]}"#.to_owned(),
        r#"{"token":"\ud800","expires_at":"2026-11-02T10:00:00Z"}"#.to_owned(),
        r#"{"token":"x\r\ny","expires_at":"9999-12-31T23:59:59Z"}"#.to_owned(),
        r#"{"tasks":[{"taskArn":null}],"failures":[{"reason":null}]}"#.to_owned(),
        r#"{"tasks":[{"taskArn":"a","createdAt":1e300,"tags":[{"key":"jitgate:runner-id","value":"-1"}]}]}"#.to_owned(),
        r#"{"taskArns":[null,1,"\u0000"],"nextToken":"x"}"#.to_owned(),
        r#"{"total_count":-1,"runners":[{"id":1,"name":"jit-default-1-1-99999999999999999999","status":[]}]}"#
            .to_owned(),
        format!(r#"{{"total_count":500,"runners":[{long}null]}}"#),
    ]
    .map(String::into_bytes)
    .to_vec()
}
