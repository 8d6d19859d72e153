//! The paths about the cluster of an origin.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
};
use serde::{Deserialize, de::DeserializeOwned};
use tributary_node::config;
use tributary_protocol::GroupName;

use super::{Api, answer::ApiRefusal};
use crate::cluster::{ClusterHandle, ClusterOrder, ClusterStatus, GroupStatus, MovedGroup};

/// The time that a drain leaves to applications that do not expect to be moved, if the request has none.
const DRAIN: Duration = Duration::from_secs(300);

type Refusable<T> = Result<Json<T>, ApiRefusal>;

fn handle(api: &Api) -> Result<&ClusterHandle, ApiRefusal> {
    api.cluster.as_ref().ok_or_else(ApiRefusal::no_cluster)
}

fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, ApiRefusal> {
    serde_json::from_slice(body).map_err(|error| ApiRefusal::bad_body(&error))
}

pub(super) async fn status(State(api): State<Arc<Api>>) -> Refusable<ClusterStatus> {
    let status = handle(&api)?.ask(ClusterOrder::Status).await;
    status.map(Json).ok_or_else(ApiRefusal::stops)
}

pub(super) async fn group(
    State(api): State<Arc<Api>>,
    Path((application, instance)): Path<(String, String)>,
) -> Refusable<GroupStatus> {
    let name = format!("{application}/{instance}");
    let group = GroupName::from_app(&name).map_err(|_| ApiRefusal::no_group(&name))?;
    let order = |done| ClusterOrder::Group(group, done);
    let status = handle(&api)?
        .ask(order)
        .await
        .ok_or_else(ApiRefusal::stops)?;
    status.map(Json).ok_or_else(|| ApiRefusal::no_group(&name))
}

/// The body of a request to move a group.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MoveRequest {
    group: String,
    to: String,
}

pub(super) async fn move_group(State(api): State<Arc<Api>>, body: Bytes) -> Refusable<MovedGroup> {
    let asked: MoveRequest = read(&body)?;
    let group = GroupName::from_app(&asked.group);
    let group = group.map_err(|_| ApiRefusal::no_group(&asked.group))?;
    let order = |done| ClusterOrder::Move {
        group,
        to: asked.to,
        done,
    };
    let moved = handle(&api)?
        .ask(order)
        .await
        .ok_or_else(ApiRefusal::stops)?;
    moved
        .map(Json)
        .map_err(|error| ApiRefusal::no_move(&asked.group, &error))
}

/// The body of a request to drain the origin.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct DrainRequest {
    within: Option<config::Duration>,
}

pub(super) async fn drain(State(api): State<Arc<Api>>, body: Bytes) -> Refusable<ClusterStatus> {
    let asked: DrainRequest = match body.is_empty() {
        true => DrainRequest::default(),
        false => read(&body)?,
    };
    let within = asked.within.map_or(DRAIN, config::Duration::get);
    let order = |begun| ClusterOrder::Drain { within, begun };
    let begun = handle(&api)?.ask(order).await;
    begun.map(Json).ok_or_else(ApiRefusal::stops)
}

pub(super) async fn undrain(State(api): State<Arc<Api>>) -> Refusable<ClusterStatus> {
    let status = handle(&api)?.ask(ClusterOrder::Undrain).await;
    status.map(Json).ok_or_else(ApiRefusal::stops)
}
