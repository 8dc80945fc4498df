//! The stand-in, called with the real client.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::ProvideErrorMetadata;
use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::{
    DeleteMessageBatchRequestEntry, Message as Received, MessageAttributeValue, MessageSystemAttributeName,
    QueueAttributeName, SendMessageBatchRequestEntry,
};
use time::macros::datetime;

use super::message::md5_of_body;
use super::*;
use crate::aws::Aws;

const SECOND: Duration = Duration::from_secs(1);

pub(super) struct World {
    pub(super) aws: Aws,
    pub(super) client: Client,
    url: String,
}

impl World {
    pub(super) async fn new() -> Self {
        let aws = Aws::start(Clock::manual(datetime!(2026-11-02 10:00 UTC))).await;
        aws.sqs.add_queue("dead", QueueSettings::default());
        let redrive = Some(("dead".to_owned(), 2));
        aws.sqs.add_queue("jobs", QueueSettings { redrive, ..QueueSettings::default() });
        let client = Client::new(&aws.sdk_config());
        let url = aws.queue_url("jobs");
        Self { aws, client, url }
    }

    fn advance(&self, by: Duration) {
        self.aws.clock().advance(by);
    }

    async fn send(&self, body: &str) {
        self.client.send_message().queue_url(&self.url).message_body(body).send().await.unwrap();
    }

    async fn receive(&self) -> Vec<Received> {
        let request = self.client.receive_message().queue_url(&self.url).max_number_of_messages(10);
        let request = request.message_system_attribute_names(MessageSystemAttributeName::All);
        request.message_attribute_names("All").send().await.unwrap().messages.unwrap_or_default()
    }

    async fn hide(&self, message: &Received, seconds: i32) -> Result<(), Option<String>> {
        let handle = message.receipt_handle().unwrap();
        let request = self.client.change_message_visibility().queue_url(&self.url).receipt_handle(handle);
        let outcome = request.visibility_timeout(seconds).send().await;
        outcome.map(|_| ()).map_err(|error| error.into_service_error().code().map(str::to_owned))
    }
}

fn text(value: &str) -> MessageAttributeValue {
    MessageAttributeValue::builder().data_type("String").string_value(value).build().unwrap()
}

#[tokio::test]
async fn a_message_arrives_as_it_was_sent() {
    let world = World::new().await;
    let binary =
        MessageAttributeValue::builder().data_type("Binary").binary_value(Blob::new([0, 255])).build().unwrap();
    let request = world.client.send_message().queue_url(&world.url).message_body("{\"job\":\"ü\"}");
    let request =
        request.message_group_id("42").message_attributes("reason", text("why")).message_attributes("b", binary);
    let sent = request.send().await.unwrap();
    assert_eq!(sent.md5_of_message_body(), Some(&*md5_of_body("{\"job\":\"ü\"}")));
    let [message] = &world.receive().await[..] else { panic!("one message") };
    assert_eq!(message.message_id(), sent.message_id());
    assert_eq!(message.body(), Some("{\"job\":\"ü\"}"));
    assert_eq!(message.md5_of_message_attributes(), sent.md5_of_message_attributes());
    assert_eq!(message.message_attributes().unwrap()["reason"].string_value(), Some("why"));
    assert_eq!(message.message_attributes().unwrap()["b"].binary_value(), Some(&Blob::new([0, 255])));
    let system = message.attributes().unwrap();
    assert_eq!(system[&MessageSystemAttributeName::MessageGroupId], "42");
    assert_eq!(system[&MessageSystemAttributeName::ApproximateReceiveCount], "1");
    assert_eq!(system[&MessageSystemAttributeName::SentTimestamp], "1793613600000");
}

#[tokio::test]
async fn what_is_not_deleted_comes_back_and_at_last_goes_to_the_dead_letter_queue() {
    let world = World::new().await;
    world.send("job").await;
    let first = world.receive().await.remove(0);
    assert!(world.receive().await.is_empty());
    world.advance(SECOND * 30);
    let second = world.receive().await.remove(0);
    assert_ne!(first.receipt_handle(), second.receipt_handle());
    let delete = |message: Received| {
        world.client.delete_message().queue_url(&world.url).receipt_handle(message.receipt_handle.unwrap()).send()
    };
    delete(first).await.unwrap();
    assert_eq!(world.aws.sqs.depth("jobs"), Depth { visible: 0, in_flight: 1, delayed: 0 });
    world.advance(SECOND * 30);
    assert!(world.receive().await.is_empty());
    let dead = world.aws.sqs.messages("dead");
    assert_eq!((dead.len(), &*dead[0].id), (1, second.message_id().unwrap()));
    assert_eq!(dead[0].dead_letter_source.as_deref(), Some("arn:aws:sqs:eu-central-1:123456789012:jobs"));
    world.send("job").await;
    delete(world.receive().await.remove(0)).await.unwrap();
    assert_eq!(world.aws.sqs.depth("jobs").total(), 0);
}

#[tokio::test]
async fn a_delay_hides_a_new_message_and_visibility_a_received_one() {
    let world = World::new().await;
    let delayed =
        |seconds| world.client.send_message().queue_url(&world.url).message_body("job").delay_seconds(seconds).send();
    let error = delayed(901).await.unwrap_err().into_service_error();
    assert_eq!(error.code(), Some("InvalidParameterValue"));
    delayed(900).await.unwrap();
    assert_eq!(world.aws.sqs.depth("jobs").delayed, 1);
    world.advance(SECOND * 899);
    assert!(world.receive().await.is_empty());
    world.advance(SECOND);
    let message = world.receive().await.remove(0);
    assert_eq!(world.hide(&message, 43201).await, Err(Some("InvalidParameterValue".to_owned())));
    world.hide(&message, 3600).await.unwrap();
    world.advance(SECOND * 3599);
    assert_eq!(world.hide(&message, 43200).await, Err(Some("InvalidParameterValue".to_owned())));
    assert!(world.receive().await.is_empty());
    assert_eq!(world.aws.sqs.next_visible_at("jobs"), Some(datetime!(2026-11-02 11:15 UTC)));
    world.hide(&message, 0).await.unwrap();
    let not_in_flight = Some("AWS.SimpleQueueService.MessageNotInflight".to_owned());
    assert_eq!(world.hide(&message, 10).await, Err(not_in_flight));
    assert_eq!(world.receive().await.len(), 1);
}

#[tokio::test]
async fn batches_answer_for_each_entry() {
    let world = World::new().await;
    let entry = |id: &str, delay| {
        let entry = SendMessageBatchRequestEntry::builder().id(id).message_body("job").delay_seconds(delay);
        entry.build().unwrap()
    };
    let batch = world.client.send_message_batch().queue_url(&world.url).entries(entry("a", 0)).entries(entry("b", 901));
    let answer = batch.send().await.unwrap();
    assert_eq!(answer.successful()[0].id(), "a");
    assert_eq!((answer.failed()[0].id(), answer.failed()[0].code()), ("b", "InvalidParameterValue"));
    let batch = world.client.send_message_batch().queue_url(&world.url).entries(entry("a", 0)).entries(entry("a", 0));
    let error = batch.send().await.unwrap_err().into_service_error();
    assert!(error.is_batch_entry_ids_not_distinct(), "{error:?}");
    let handle = world.receive().await[0].receipt_handle().unwrap().to_owned();
    let entry = |id: &str, handle: &str| {
        DeleteMessageBatchRequestEntry::builder().id(id).receipt_handle(handle).build().unwrap()
    };
    let batch = world.client.delete_message_batch().queue_url(&world.url);
    let answer = batch.entries(entry("a", &handle)).entries(entry("b", "?")).send().await.unwrap();
    assert_eq!((answer.successful().len(), answer.failed()[0].code()), (1, "ReceiptHandleIsInvalid"));
    assert_eq!(world.aws.sqs.depth("jobs").total(), 0);
}

#[tokio::test]
async fn a_message_has_one_mebibyte_at_most_and_no_control_characters() {
    let world = World::new().await;
    let send = |body: String| world.client.send_message().queue_url(&world.url).message_body(body).send();
    send("x".repeat(LARGEST_MESSAGE)).await.unwrap();
    let error = send("x".repeat(LARGEST_MESSAGE + 1)).await.unwrap_err().into_service_error();
    assert_eq!(error.code(), Some("InvalidParameterValue"));
    let error = send("\u{1}".to_owned()).await.unwrap_err().into_service_error();
    assert!(error.is_invalid_message_contents(), "{error:?}");
}

#[tokio::test]
async fn a_queue_that_is_not_there_has_the_code_of_the_query_protocol() {
    let world = World::new().await;
    let error = world.client.send_message().queue_url(world.aws.queue_url("x")).message_body("job").send().await;
    let error = error.unwrap_err().into_service_error();
    assert_eq!(error.code(), Some("AWS.SimpleQueueService.NonExistentQueue"));
    let attributes = world.client.get_queue_attributes().queue_url(&world.url);
    let attributes = attributes.attribute_names(QueueAttributeName::All).send().await.unwrap();
    let attributes = attributes.attributes().unwrap();
    assert_eq!(attributes[&QueueAttributeName::ApproximateNumberOfMessages], "0");
    assert!(attributes[&QueueAttributeName::RedrivePolicy].contains(":dead"));
}

#[tokio::test]
async fn messages_older_than_the_retention_are_not_received() {
    let world = World::new().await;
    world.send("old").await;
    world.advance(Duration::from_hours(96) + SECOND);
    assert!(world.receive().await.is_empty());
    assert_eq!(world.aws.sqs.depth("jobs").total(), 0);
}
