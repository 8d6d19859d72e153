//! The names that the host adds to the language, and when each of them comes into being.

/// A global of every script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Global {
    Application,
    Client,
    SharedObject,
    Trace,
    Load,
    SetInterval,
    SetTimeout,
    ClearInterval,
    ClearTimeout,
    GetGlobal,
    SetAttributes,
    ProtectObject,
    Stream,
    NetConnection,
    NetStream,
    Console,
    File,
    LoadVars,
    Xml,
    XmlNode,
    XmlSocket,
    XmlStreams,
    ByteArray,
    Fetch,
    Sha256,
    Log,
    WebService,
    SoapCall,
    SoapFault,
}

/// When a global comes into being.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// Before the main file runs.
    Start,
    /// When a script first names it: one that few scripts use costs the others nothing.
    FirstUse,
}

/// Every global of the host with its name in scripts.
pub(crate) const GLOBALS: &[(Global, &str, When)] = &[
    (Global::Application, "application", When::Start),
    (Global::Client, "Client", When::Start),
    (Global::SharedObject, "SharedObject", When::FirstUse),
    (Global::Trace, "trace", When::Start),
    (Global::Load, "load", When::Start),
    (Global::SetInterval, "setInterval", When::Start),
    (Global::SetTimeout, "setTimeout", When::FirstUse),
    (Global::ClearInterval, "clearInterval", When::Start),
    (Global::ClearTimeout, "clearTimeout", When::FirstUse),
    (Global::GetGlobal, "getGlobal", When::FirstUse),
    (Global::SetAttributes, "setAttributes", When::FirstUse),
    (Global::ProtectObject, "protectObject", When::FirstUse),
    (Global::Stream, "Stream", When::FirstUse),
    (Global::NetConnection, "NetConnection", When::FirstUse),
    (Global::NetStream, "NetStream", When::FirstUse),
    (Global::Console, "console", When::FirstUse),
    (Global::File, "File", When::FirstUse),
    (Global::LoadVars, "LoadVars", When::FirstUse),
    (Global::Xml, "XML", When::FirstUse),
    (Global::XmlNode, "XMLNode", When::FirstUse),
    (Global::XmlSocket, "XMLSocket", When::FirstUse),
    (Global::XmlStreams, "XMLStreams", When::FirstUse),
    (Global::ByteArray, "ByteArray", When::FirstUse),
    (Global::Fetch, "fetch", When::FirstUse),
    (Global::Sha256, "SHA256", When::FirstUse),
    (Global::Log, "Log", When::FirstUse),
    (Global::WebService, "WebService", When::FirstUse),
    (Global::SoapCall, "SOAPCall", When::FirstUse),
    (Global::SoapFault, "SOAPFault", When::FirstUse),
];

/// The global of this name.
pub(crate) fn named(name: &str) -> Option<Global> {
    let found = GLOBALS.iter().find(|(_, known, _)| *known == name);
    found.map(|(global, _, _)| *global)
}
