//! Publishes a boot's outcome as one small user data value, if the configuration says so. A pipeline outside of the Instance can wait for it.
//!
//! The value contains neither output nor scripts (invariant S3).

use serde::Serialize;

use crate::metadata::api::instance::{Instance, InstanceId};
use crate::metadata::api::response::Ask;
use crate::metadata::api::user_data_key::UserDataKey;
use crate::scripts::history::record::Outcome;
use crate::scripts::history::summary::Summary;
use crate::scripts::model::script::Digest;
use crate::util::time::Moment;

/// The version of the document's format.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct OutcomeDocument<'a> {
    version: u32,
    instance: &'a InstanceId,
    ended: Moment,
    success: bool,
    scripts: Vec<OutcomeScript<'a>>,
}

#[derive(Serialize)]
struct OutcomeScript<'a> {
    key: &'a str,
    outcome: &'a Outcome,
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<&'a Digest>,
}

/// Publishes the outcome. A failure is logged and does not change the outcome.
pub(crate) async fn publish(api: &mut impl Ask, key: &UserDataKey, instance: &Instance, summary: &Summary) {
    let scripts = summary.scripts.iter().map(|script| OutcomeScript {
        key: &script.key,
        outcome: &script.outcome,
        success: script.outcome.is_success(),
        attempt: script.attempt,
        started: script.started,
        duration_ms: script.duration_ms,
        digest: script.digest.as_ref(),
    });
    let document = OutcomeDocument {
        version: VERSION,
        instance: &instance.id,
        ended: summary.ended,
        success: summary.is_success(),
        scripts: scripts.collect(),
    };
    let published = match serde_json::to_vec(&document) {
        Ok(json) => api.set(key, json.into()).await.map_err(|why| why.to_string()),
        Err(why) => Err(why.to_string()),
    };
    if let Err(why) = published {
        tracing::error!("cannot publish the outcome as {key}: {why}");
    }
}
