//! Requests that are refused: a JSON object with the subject, the reason and the remedy.

use std::fmt;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tributary_protocol::cluster::MoveError;

use super::super::{DeployError, Problem, archive::ArchiveError};

/// Why a request is refused.
#[derive(Debug)]
pub(super) struct ApiRefusal {
    status: StatusCode,
    body: ErrorBody,
}

#[derive(Debug, Serialize)]
struct ErrorBody {
    error: Explanation,
}

#[derive(Debug, Serialize)]
struct Explanation {
    /// The subject of the request.
    thing: String,
    reason: String,
    remedy: String,
    /// The problems of a version that is refused, with their places.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<Problem>,
}

impl ApiRefusal {
    fn new(
        status: StatusCode,
        thing: impl Into<String>,
        reason: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let error = Explanation {
            thing: thing.into(),
            reason: reason.into(),
            remedy: remedy.into(),
            problems: Vec::new(),
        };
        Self {
            status,
            body: ErrorBody { error },
        }
    }

    /// The refusal of a request about an application.
    pub(super) fn of(name: &str, error: &DeployError) -> Self {
        let mut refusal = Self::new(
            status(error),
            application(name),
            error.to_string(),
            error.remedy(),
        );
        if let DeployError::Refused(refused) = error {
            refusal.body.error.problems.clone_from(&refused.problems);
        }
        refusal
    }

    pub(super) fn unknown(name: &str) -> Self {
        Self::of(name, &DeployError::Unknown)
    }

    pub(super) fn too_long(name: &str) -> Self {
        Self::of(name, &DeployError::Archive(ArchiveError::TooLarge))
    }

    pub(super) fn no_cluster() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "cluster",
            "this origin is in no cluster",
            "set cluster.name in its configuration",
        )
    }

    pub(super) fn no_group(name: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            format!("group {name:?}"),
            "it has no clients at this origin",
            "name a group as APPLICATION/INSTANCE, and ask the origin that has it",
        )
    }

    pub(super) fn no_move(name: &str, error: &MoveError) -> Self {
        let thing = format!("group {name:?}");
        Self::new(
            StatusCode::CONFLICT,
            thing,
            error.to_string(),
            error.remedy(),
        )
    }

    pub(super) fn stops() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "origin",
            "it stops",
            "ask again when it is back",
        )
    }

    pub(super) fn bad_body(error: &serde_json::Error) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "request",
            format!("its body cannot be read: {error}"),
            "see /api/openapi.json",
        )
    }

    pub(super) fn token_missing() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "the admin API",
            "the request has no bearer token",
            "send Authorization: Bearer TOKEN; the token is in admin-token of the data directory",
        )
    }

    pub(super) fn token_wrong() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "the admin API",
            "the bearer token is not this origin's",
            "send the token in admin-token of this origin's data directory",
        )
    }

    pub(super) fn no_token_made() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "the admin API",
            "the origin has no data directory, and so no token",
            "start it with --data DIR, or set origin.data",
        )
    }

    pub(super) fn no_such_path() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "the path",
            "there is nothing there",
            "see /api/openapi.json",
        )
    }

    pub(super) fn wrong_method() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "the method",
            "this path has no such method",
            "see /api/openapi.json",
        )
    }

    pub(super) fn bad_query(error: &impl fmt::Display) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "the query",
            error.to_string(),
            "see /api/openapi.json",
        )
    }

    pub(super) fn broken(error: &impl fmt::Display) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the origin",
            error.to_string(),
            "see its log",
        )
    }
}

impl IntoResponse for ApiRefusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            let headers = response.headers_mut();
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

fn application(name: &str) -> String {
    let shown = &name[..name.floor_char_boundary(SHOWN)];
    format!("application {shown}")
}

/// The most bytes of a name that are shown.
const SHOWN: usize = 80;

fn status(error: &DeployError) -> StatusCode {
    match error {
        DeployError::Unknown => StatusCode::NOT_FOUND,
        DeployError::BadName => StatusCode::BAD_REQUEST,
        DeployError::BuiltIn | DeployError::NoDirectory | DeployError::TooMany => {
            StatusCode::CONFLICT
        }
        DeployError::Busy | DeployError::StillRunning => StatusCode::SERVICE_UNAVAILABLE,
        DeployError::Archive(ArchiveError::TooLarge | ArchiveError::TooMany) => {
            StatusCode::PAYLOAD_TOO_LARGE
        }
        DeployError::Archive(_) => StatusCode::BAD_REQUEST,
        DeployError::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
        DeployError::Io(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
