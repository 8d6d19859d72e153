//! The connect command and its answers.

use super::{Command, ObjectEncoding, Status};
use crate::TransactionId;
use crate::amf::{EcmaArray, Object, Value};

/// The properties of a client's connect command.
#[derive(Clone, Debug, PartialEq)]
pub struct Connect {
    /// The answer repeats it.
    pub transaction: TransactionId,
    /// Application, instance and query; empty if the client names none.
    pub app: String,
    /// The URL that the client connects to.
    pub tc_url: Option<String>,
    /// The client's name and version.
    pub flash_ver: Option<String>,
    /// The address of the client's program.
    pub swf_url: Option<String>,
    /// The page that holds the client's program.
    pub page_url: Option<String>,
    /// The encoding in which the client wants to receive.
    pub object_encoding: ObjectEncoding,
    /// Enhanced RTMP, the older form: the FourCCs that the client can handle; `*` is any.
    pub four_cc_list: Option<Vec<String>>,
    /// Enhanced RTMP: the client's abilities for each video FourCC.
    pub video_four_cc_info_map: Option<Object>,
    /// Enhanced RTMP: the client's abilities for each audio FourCC.
    pub audio_four_cc_info_map: Option<Object>,
    /// Enhanced RTMP: further abilities, see [`caps_ex`].
    pub caps_ex: Option<u32>,
    /// Every property in order, including those above.
    pub properties: Object,
    /// The client's arguments for the application.
    pub arguments: Vec<Value>,
}

impl Connect {
    /// Reads a connect command. A property of an unexpected type counts as missing. None if the
    /// command is another one, or its command object is not an object.
    pub fn parse(command: Command) -> Option<Self> {
        if command.name != NAME {
            return None;
        }
        let properties = object(command.object)?;
        let text = |name| {
            let value: Option<&Value> = properties.get(name);
            value.and_then(Value::as_str).map(str::to_owned)
        };
        let number = |name| properties.get(name).and_then(Value::as_number);
        Some(Self {
            transaction: command.transaction,
            app: text("app").unwrap_or_default(),
            tc_url: text("tcUrl"),
            flash_ver: text("flashVer"),
            swf_url: text("swfUrl"),
            page_url: text("pageUrl"),
            object_encoding: match number("objectEncoding") {
                Some(3.0) => ObjectEncoding::Amf3,
                _ => ObjectEncoding::Amf0,
            },
            four_cc_list: properties.get("fourCcList").and_then(four_ccs),
            video_four_cc_info_map: properties.get("videoFourCcInfoMap").and_then(info_map),
            audio_four_cc_info_map: properties.get("audioFourCcInfoMap").and_then(info_map),
            caps_ex: number("capsEx").map(|bits| bits as u32),
            properties,
            arguments: command.arguments,
        })
    }

    /// Whether the client uses Enhanced RTMP, in its older or newer form.
    pub fn is_enhanced(&self) -> bool {
        self.four_cc_list.is_some()
            || self.video_four_cc_info_map.is_some()
            || self.audio_four_cc_info_map.is_some()
            || self.caps_ex.is_some()
    }
}

/// The bits of `capsEx` (Enhanced RTMP v2).
pub mod caps_ex {
    /// Follows a ReconnectRequest.
    pub const RECONNECT: u32 = 1;
    /// Handles several tracks of a kind in one stream.
    pub const MULTITRACK: u32 = 2;
    /// Handles the modifier extension.
    pub const MOD_EX: u32 = 4;
    /// Handles time stamps in nanoseconds.
    pub const TIMESTAMP_NANO_OFFSET: u32 = 8;
}

/// The bits of a FourCC's entry in an info map (Enhanced RTMP v2).
pub mod four_cc_info {
    /// The client decodes it.
    pub const CAN_DECODE: u32 = 1;
    /// The client encodes it.
    pub const CAN_ENCODE: u32 = 2;
    /// The client forwards it.
    pub const CAN_FORWARD: u32 = 4;
}

/// `_result` to a connect: the server's properties, then the info object. `fms_version` is the
/// server's name and version for clients, such as `FMS/3,5,7,7009`.
///
/// A client with any property of Enhanced RTMP gets the answer in both forms.
pub fn success(connect: &Connect, fms_version: &str) -> Command {
    let mut properties = Object::new()
        .with("fmsVer", fms_version)
        .with("capabilities", CAPABILITIES)
        .with("mode", 1.0);
    if connect.is_enhanced() {
        push_enhanced(&mut properties);
    }
    let version = fms_version
        .split_once('/')
        .map_or(fms_version, |(_, version)| version);
    let info = Status::ConnectSuccess
        .info(None, None)
        .with("objectEncoding", connect.object_encoding.number())
        .with("data", EcmaArray::from_iter([("version", version)]));
    Command::new("_result", connect.transaction)
        .with_object(properties)
        .with(info)
}

/// `_error` to a connect: null, then the info object.
pub fn failure(connect: &Connect, info: Object) -> Command {
    super::error(connect.transaction, info)
}

/// A connect command of a client.
pub fn command(properties: Object) -> Command {
    Command::new(NAME, TransactionId(1.0)).with_object(properties)
}

fn push_enhanced(properties: &mut Object) {
    let list = FOUR_CCS
        .iter()
        .map(|&four_cc| Value::from(four_cc))
        .collect();
    let forward = || Object::new().with(ANY, four_cc_info::CAN_FORWARD);
    properties.push("fourCcList", Value::StrictArray(list));
    properties.push("videoFourCcInfoMap", forward());
    properties.push("audioFourCcInfoMap", forward());
    properties.push("capsEx", CAPS_EX);
}

fn object(value: Value) -> Option<Object> {
    match value {
        Value::Object(object) => Some(object),
        Value::EcmaArray(array) => Some(array.properties.into_iter().collect()),
        _ => None,
    }
}

fn four_ccs(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::StrictArray(items) => {
            let texts = items.iter().filter_map(Value::as_str).map(str::to_owned);
            Some(texts.collect())
        }
        Value::EcmaArray(array) => {
            let values = array.properties.iter().map(|(_, value)| value);
            let texts = values.filter_map(Value::as_str).map(str::to_owned);
            Some(texts.collect())
        }
        _ => None,
    }
}

fn info_map(value: &Value) -> Option<Object> {
    object(value.clone())
}

pub const NAME: &str = "connect";

/// The capabilities of Flash Media Server 3.5.
const CAPABILITIES: f64 = 31.0;

/// Any FourCC.
const ANY: &str = "*";

/// All codecs pass through; the names are for clients that do not know the `*`.
const FOUR_CCS: [&str; 12] = [
    "av01", "vp09", "vp08", "hvc1", "avc1", "ac-3", "ec-3", "Opus", ".mp3", "fLaC", "mp4a", ANY,
];

/// All media passes through.
const CAPS_EX: u32 =
    caps_ex::RECONNECT | caps_ex::MULTITRACK | caps_ex::MOD_EX | caps_ex::TIMESTAMP_NANO_OFFSET;
