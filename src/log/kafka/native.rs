//! The three calls that rdkafka does not offer in a form weir can use. All `unsafe` of weir is here.
//!
//! - rdkafka's own flush polls in steps of 100 ms, which would be added to every commit;
//! - its group metadata is opaque, and a blank one (of a consumer that has lost its membership) is
//!   accepted by the broker without any fencing: it must be looked at before it is used;
//! - so the positions are sent with metadata made from what was looked at.
#![allow(unsafe_code, reason = "calls into librdkafka, each with its proof beside it")]

use std::ffi::{CStr, CString, c_char};
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use rdkafka_sys as sys;

use crate::log::Membership;

/// Why librdkafka refused a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) code: RDKafkaErrorCode,
    pub(super) reason: String,
}

fn millis(wait: Duration) -> i32 {
    i32::try_from(wait.as_millis()).unwrap_or(i32::MAX)
}

/// Waits at most `wait` until nothing sent is under way any more, ignoring the linger time.
/// False: there still is.
pub(super) fn flush<C: ProducerContext>(producer: &BaseProducer<C>, wait: Duration) -> bool {
    // SAFETY: the pointer is that of a live client, which `producer` keeps alive for the call, and
    // librdkafka's handles may be used from any thread
    let code = unsafe { sys::rd_kafka_flush(producer.client().native_ptr(), millis(wait)) };
    code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
}

/// The consumer's membership as it is now; one that has not joined, or is a member no more, has a
/// generation below zero or an empty member id.
pub(super) fn membership<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> Option<Membership> {
    // SAFETY: the pointer is that of a live client. The metadata is a copy that belongs to us until
    // it is destroyed below, once, and nothing borrowed from it outlives that: texts are copied
    unsafe {
        let metadata = sys::rd_kafka_consumer_group_metadata(consumer.client().native_ptr());
        if metadata.is_null() {
            return None;
        }
        let found = Membership {
            group: text(sys::rd_kafka_consumer_group_metadata_group_id(metadata))
                .unwrap_or_default(),
            generation: sys::rd_kafka_consumer_group_metadata_generation_id(metadata),
            member: text(sys::rd_kafka_consumer_group_metadata_member_id(metadata))
                .unwrap_or_default(),
            instance: text(sys::rd_kafka_consumer_group_metadata_group_instance_id(metadata)),
        };
        sys::rd_kafka_consumer_group_metadata_destroy(metadata);
        Some(found)
    }
}

/// Copies a text of librdkafka's; `None` where there is none.
///
/// # Safety
/// `text` is null or points to a text that ends with a zero byte.
unsafe fn text(text: *const c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: as the caller promises
    Some(unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

/// Adds positions to the open transaction. May hang whatever `wait` says (librdkafka issues 5456
/// and 5511): whoever calls it is watched.
///
/// # Errors
/// What librdkafka or the broker said.
pub(super) fn send_positions<C: ProducerContext>(
    producer: &BaseProducer<C>,
    positions: &TopicPartitionList,
    membership: &Membership,
    wait: Duration,
) -> Result<(), Refused> {
    let text = |text: &str| {
        CString::new(text).map_err(|_| Refused {
            code: RDKafkaErrorCode::InvalidArgument,
            reason: format!("{text:?} holds a zero byte"),
        })
    };
    let group = text(&membership.group)?;
    let member = text(&membership.member)?;
    let instance = membership.instance.as_deref().map(text).transpose()?;
    let instance = instance.as_ref().map_or(std::ptr::null(), |instance| instance.as_ptr());
    // SAFETY: the client and the list of positions are live for the call; the texts are copied by
    // `_new_with_genid`; the metadata is ours and destroyed once, after its only use; the error, if
    // there is one, is ours and destroyed once, after its text was copied
    unsafe {
        let metadata = sys::rd_kafka_consumer_group_metadata_new_with_genid(
            group.as_ptr(),
            membership.generation,
            member.as_ptr(),
            instance,
        );
        let error = sys::rd_kafka_send_offsets_to_transaction(
            producer.client().native_ptr(),
            positions.ptr(),
            metadata,
            millis(wait),
        );
        sys::rd_kafka_consumer_group_metadata_destroy(metadata);
        if error.is_null() {
            return Ok(());
        }
        let refused = Refused {
            code: RDKafkaErrorCode::from(sys::rd_kafka_error_code(error)),
            reason: self::text(sys::rd_kafka_error_string(error)).unwrap_or_default(),
        };
        sys::rd_kafka_error_destroy(error);
        Err(refused)
    }
}
