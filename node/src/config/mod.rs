//! The settings of applications, and how all settings are read: [`tributary_settings`].

mod application;
mod delivery;
mod relay;
mod shared_objects;
mod target;

pub use tributary_settings::{
    AddressError, At, Check, Duration, Layers, Mistake, Mistakes, Secret, Size, UnitError, address,
    changes, read_address,
};

pub use application::{
    Application, Builtin, DataStart, OnDeploy, PublishFrom, PublishRefused, Restore,
    SecondPublisher, token,
};
pub use delivery::{Deliveries, Delivery, DeliveryPolicy, Streams};
pub use relay::{NamePatterns, PLACEHOLDER, Pull, Push, RelayUrl, RelayUrlError, When};
pub use shared_objects::{Displace, Durability, SharedObjects};
pub use target::{Target, TargetError};
