//! HTTP hooks: the requests to a service that decides, the reading of its answers, and the done-hooks
//! that are owed.

mod answer;
mod event;
mod json;
mod ledger;
mod nginx;
mod request;
mod settings;
mod srs;

#[cfg(test)]
mod tests;

pub use answer::{HookAnswer, HookFault, HookRefused, HookResponse, HookVerdict, MAX_ANSWER};
pub use event::{Caller, HookEvent, Told};
pub use ledger::{Debt, Ledger, MAX_DEBTS, NoRoom};
pub use request::{FieldTooLong, HookRequest, MAX_FIELD};
pub use settings::{HookMethod, HookSettings, HookStyle, MAX_URLS, OnFailure, Urls};
