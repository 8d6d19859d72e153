//! The names that the host adds to the language, and the time at which each is made.

/// A global of every script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostGlobal {
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

/// The time at which a global is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// Before the main file runs.
    Start,
    /// When a script first names it; a global that few scripts use costs the others nothing.
    FirstUse,
}

/// Every global of the host with its name in scripts.
pub(crate) const GLOBALS: &[(HostGlobal, &str, When)] = &[
    (HostGlobal::Application, "application", When::Start),
    (HostGlobal::Client, "Client", When::Start),
    (HostGlobal::SharedObject, "SharedObject", When::FirstUse),
    (HostGlobal::Trace, "trace", When::Start),
    (HostGlobal::Load, "load", When::Start),
    (HostGlobal::SetInterval, "setInterval", When::Start),
    (HostGlobal::SetTimeout, "setTimeout", When::FirstUse),
    (HostGlobal::ClearInterval, "clearInterval", When::Start),
    (HostGlobal::ClearTimeout, "clearTimeout", When::FirstUse),
    (HostGlobal::GetGlobal, "getGlobal", When::FirstUse),
    (HostGlobal::SetAttributes, "setAttributes", When::FirstUse),
    (HostGlobal::ProtectObject, "protectObject", When::FirstUse),
    (HostGlobal::Stream, "Stream", When::FirstUse),
    (HostGlobal::NetConnection, "NetConnection", When::FirstUse),
    (HostGlobal::NetStream, "NetStream", When::FirstUse),
    (HostGlobal::Console, "console", When::FirstUse),
    (HostGlobal::File, "File", When::FirstUse),
    (HostGlobal::LoadVars, "LoadVars", When::FirstUse),
    (HostGlobal::Xml, "XML", When::FirstUse),
    (HostGlobal::XmlNode, "XMLNode", When::FirstUse),
    (HostGlobal::XmlSocket, "XMLSocket", When::FirstUse),
    (HostGlobal::XmlStreams, "XMLStreams", When::FirstUse),
    (HostGlobal::ByteArray, "ByteArray", When::FirstUse),
    (HostGlobal::Fetch, "fetch", When::FirstUse),
    (HostGlobal::Sha256, "SHA256", When::FirstUse),
    (HostGlobal::Log, "Log", When::FirstUse),
    (HostGlobal::WebService, "WebService", When::FirstUse),
    (HostGlobal::SoapCall, "SOAPCall", When::FirstUse),
    (HostGlobal::SoapFault, "SOAPFault", When::FirstUse),
];

/// The global of this name.
pub(crate) fn named(name: &str) -> Option<HostGlobal> {
    let found = GLOBALS.iter().find(|(_, known, _)| *known == name);
    found.map(|(global, _, _)| *global)
}
