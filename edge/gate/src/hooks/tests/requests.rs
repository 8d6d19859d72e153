//! The bodies of each style.

use proptest::prelude::*;

use super::settings;
use crate::{Action, Transport, hooks::*};

fn caller() -> Caller<'static> {
    Caller {
        app: "live",
        query: "who=me",
        flash_ver: "FMLE/3.0 (compatible; Lavf59.27.100)",
        swf_url: "",
        tc_url: "rtmp://127.0.0.1:1935/live?who=me",
        page_url: "http://a.example/?p=1&q=\u{e9}",
        address: Some("::ffff:192.0.2.1".parse().unwrap()),
        transport: Transport::Rtmps,
        virtual_host: None,
        session: 7,
        epoch: 123_456,
        edge: "edge-1",
        process: "9f",
        user: None,
    }
}

const STREAM: Told<'_> = Told {
    name: "cam 1",
    query: "token=a/b+c=&x",
};

const EVENTS: [HookEvent<'_>; 9] = [
    HookEvent::Connect,
    HookEvent::Disconnect {
        sent: 10,
        received: 20,
        reason: "closed by the client",
    },
    HookEvent::Publish {
        stream: STREAM,
        kind: "live",
    },
    HookEvent::Play {
        stream: STREAM,
        start: -2000.0,
        duration: -1.0,
        reset: true,
    },
    HookEvent::Done {
        action: Action::Publish,
        stream: STREAM,
        reason: "",
    },
    HookEvent::Done {
        action: Action::Play,
        stream: STREAM,
        reason: "",
    },
    HookEvent::AnyDone {
        stream: STREAM,
        reason: "",
    },
    HookEvent::Update {
        action: Action::Publish,
        stream: STREAM,
        time: 30,
        timestamp: u32::MAX,
    },
    HookEvent::Update {
        action: Action::Play,
        stream: STREAM,
        time: 30,
        timestamp: 29_960,
    },
];

/// The bodies of all events; empty where the style has no request.
fn bodies(style: HookStyle) -> Vec<String> {
    let settings = settings(style);
    let body = |event: &HookEvent<'_>| {
        let requests = settings.requests(&caller(), event).unwrap();
        requests
            .first()
            .map(|it| it.body.clone())
            .unwrap_or_default()
    };
    EVENTS.iter().map(body).collect()
}

#[test]
fn forms_are_those_of_nginx() {
    let begin = "app=live&flashver=FMLE/3.0%20(compatible%3B%20Lavf59.27.100)&swfurl=\
                 &tcurl=rtmp://127.0.0.1:1935/live%3Fwho=me\
                 &pageurl=http://a.example/%3Fp=1%26q=%C3%A9&addr=192.0.2.1";
    let own = "&session=7&edge=edge-1&protocol=rtmps";
    let query = "&token=a/b+c=&x";
    let expected = [
        "&epoch=123456&call=connect&who=me".to_owned(),
        "&clientid=7&call=disconnect&app=live&who=me".to_owned(),
        format!("&clientid=7&call=publish&name=cam%201&type=live{query}"),
        format!(
            "&clientid=7&call=play&name=cam%201&start=4294965296&duration=4294967295&reset=1{query}"
        ),
        format!("&clientid=7&call=publish_done&name=cam%201{query}"),
        format!("&clientid=7&call=play_done&name=cam%201{query}"),
        format!("&clientid=7&call=done&name=cam%201{query}"),
        format!("&clientid=7&call=update_publish&time=30&timestamp=-1&name=cam%201{query}"),
        format!("&clientid=7&call=update_play&time=30&timestamp=29960&name=cam%201{query}"),
    ];
    for (number, (body, middle)) in bodies(HookStyle::Nginx).iter().zip(expected).enumerate() {
        let end = match number {
            1 => "&reason=closed%20by%20the%20client",
            _ => "",
        };
        assert_eq!(*body, format!("{begin}{middle}{own}{end}"));
    }
}

#[test]
fn json_is_that_of_srs() {
    let begin = |action| {
        format!(
            r#"{{"server_id":"edge-1","service_id":"9f","action":"{action}","client_id":"7","ip":"192.0.2.1","vhost":"__defaultVhost__","app":"live","#
        )
    };
    let tc = r#""tcUrl":"rtmp://127.0.0.1:1935/live?who=me""#;
    let page = "\"pageUrl\":\"http://a.example/?p=1&q=\u{e9}\"";
    let name = r#""stream":"cam 1""#;
    let param = r#""param":"?token=a/b+c=&x""#;
    let stream = r#""stream_url":"/live/cam 1","stream_id":"vid-236104e""#;
    let expected = [
        format!(
            "{}\"stream\":\"\",\"param\":\"?who=me\",{tc},{page}}}",
            begin("on_connect")
        ),
        format!("{}\"send_bytes\":10,\"recv_bytes\":20}}", begin("on_close")),
        format!("{}{tc},{name},{param},{stream}}}", begin("on_publish")),
        format!("{}{name},{tc},{param},{page},{stream}}}", begin("on_play")),
        format!("{}{tc},{name},{param},{stream}}}", begin("on_unpublish")),
        format!("{}{tc},{name},{param},{stream}}}", begin("on_stop")),
        String::new(),
        String::new(),
        String::new(),
    ];
    for (body, expected) in bodies(HookStyle::Srs).iter().zip(expected) {
        assert_eq!(*body, expected);
    }
}

#[test]
fn the_host_and_the_query_of_srs() {
    let caller = Caller {
        virtual_host: Some("v.example"),
        address: None,
        ..caller()
    };
    let event = HookEvent::Publish {
        stream: Told {
            name: "cam",
            query: "",
        },
        kind: "live",
    };
    let requests = settings(HookStyle::Srs).requests(&caller, &event).unwrap();
    for part in [
        r#""ip":"unknown","vhost":"v.example""#,
        r#""stream_url":"v.example/live/cam""#,
        // Without a query of the name, that of the connect counts.
        r#""param":"?who=me""#,
    ] {
        assert!(requests[0].body.contains(part), "{part} in {requests:?}");
    }
}

#[test]
fn json_of_our_own_leaves_out_the_unknown() {
    let bodies = bodies(HookStyle::Json);
    let begin = |event| {
        format!(
            "{{\"event\":\"{event}\",\"session\":\"7\",\"edge\":\"edge-1\",\"process\":\"9f\",\
             \"address\":\"192.0.2.1\",\"protocol\":\"rtmps\",\"app\":\"live\",\"query\":\"who=me\",\
             \"tc_url\":\"rtmp://127.0.0.1:1935/live?who=me\",\
             \"page_url\":\"http://a.example/?p=1&q=\u{e9}\",\
             \"flash_ver\":\"FMLE/3.0 (compatible; Lavf59.27.100)\""
        )
    };
    let name = r#","name":"cam 1","name_query":"token=a/b+c=&x""#;
    let expected = [
        ("connect", String::new()),
        (
            "disconnect",
            r#","reason":"closed by the client","bytes_sent":10,"bytes_received":20"#.to_owned(),
        ),
        ("publish", format!(r#"{name},"type":"live""#)),
        (
            "play",
            format!(r#"{name},"start":-2000.0,"duration":-1.0,"reset":true"#),
        ),
        ("publish_done", name.to_owned()),
        ("play_done", name.to_owned()),
        ("done", name.to_owned()),
        (
            "update_publish",
            format!(r#"{name},"time":30,"timestamp":4294967295"#),
        ),
        (
            "update_play",
            format!(r#"{name},"time":30,"timestamp":29960"#),
        ),
    ];
    for (body, (event, end)) in bodies.iter().zip(expected) {
        assert_eq!(*body, format!("{}{end}}}", begin(event)));
    }
    let caller = Caller {
        user: Some("alice"),
        address: None,
        query: "",
        ..caller()
    };
    let requests = settings(HookStyle::Json).requests(&caller, &HookEvent::Connect);
    let body = &requests.unwrap()[0].body;
    assert!(body.contains("\"user\":\"alice\""), "{body}");
    assert!(
        !body.contains("address") && !body.contains("\"query\""),
        "{body}"
    );
}

#[test]
fn requests_go_to_each_url() {
    let mut settings = HookSettings {
        style: HookStyle::Nginx,
        on_publish: ["http://a/x", "https://b/y?k=1"].into(),
        ..HookSettings::default()
    };
    let publish = HookEvent::Publish {
        stream: Told {
            name: "cam",
            query: "a b#c\u{e9}",
        },
        kind: "live",
    };
    let requests = settings.requests(&caller(), &publish).unwrap();
    let urls: Vec<_> = requests.iter().map(|it| (it.method, &*it.url)).collect();
    assert_eq!(urls, [("POST", "http://a/x"), ("POST", "https://b/y?k=1")]);
    assert!(
        requests[0]
            .body
            .contains("&type=live&a b#c\u{e9}&session=7")
    );
    let form = Some("application/x-www-form-urlencoded");
    assert_eq!(requests[0].content_type, form);

    settings.method = HookMethod::Get;
    let requests = settings.requests(&caller(), &publish).unwrap();
    assert!(requests[0].url.starts_with("http://a/x?app=live&"));
    assert!(requests[1].url.starts_with("https://b/y?k=1&app=live&"));
    assert!(
        requests[1]
            .url
            .contains("&type=live&a%20b%23c%C3%A9&session=7")
    );
    assert_eq!((&*requests[1].body, requests[1].content_type), ("", None));
    let none = settings.requests(&caller(), &HookEvent::Connect);
    assert_eq!(none, Ok(Vec::new()));
}

#[test]
fn long_fields_are_cut_and_long_names_refused() {
    let settings = settings(HookStyle::Json);
    let long = "\u{e9}".repeat(3000);
    let informs = Caller {
        page_url: &long,
        ..caller()
    };
    let requests = settings.requests(&informs, &HookEvent::Connect).unwrap();
    assert!(requests[0].body.len() < MAX_FIELD + 1000);
    let decides = Caller {
        query: &long,
        ..caller()
    };
    let requests = settings.requests(&decides, &HookEvent::Connect);
    assert_eq!(requests, Err(FieldTooLong));
    let stream = Told {
        name: &long,
        query: "",
    };
    let kind = "live";
    let requests = settings.requests(&caller(), &HookEvent::Publish { stream, kind });
    assert_eq!(requests, Err(FieldTooLong));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// A form gives back what went into it, and no field of a client but its query makes another one.
    #[test]
    fn forms_keep_their_fields(name in "\\PC{1,30}", page in "\\PC{0,30}") {
        let caller = Caller { page_url: &page, query: "", ..caller() };
        let stream = Told { name: &name, query: "" };
        let event = HookEvent::Publish { stream, kind: "live" };
        let requests = settings(HookStyle::Nginx).requests(&caller, &event).unwrap();
        let fields: Vec<_> = requests[0].body.split('&').map(|field| field.split_once('=').unwrap()).collect();
        let names: Vec<_> = fields.iter().map(|(name, _)| *name).collect();
        prop_assert_eq!(names, ["app", "flashver", "swfurl", "tcurl", "pageurl", "addr", "clientid", "call",
            "name", "type", "session", "edge", "protocol"]);
        prop_assert_eq!(decode(fields[4].1), page);
        prop_assert_eq!(decode(fields[8].1), name);
    }
}

/// Decodes `%XX` alone.
fn decode(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
            let digits = str::from_utf8(&digits).unwrap();
            out.push(u8::from_str_radix(digits, 16).unwrap());
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).unwrap()
}
