//! The example application `whiteboard`.

use serde_json::{Value, json};

use super::example;
use crate::support::{
    clients::driven::{Driven, Kind},
    cluster::Cluster,
};

#[test]
fn everybody_draws_and_sees_it() {
    let cluster = example("whiteboard");
    let mut drawers = [
        enter(Kind::Amf0, &cluster, 0),
        enter(Kind::Amf3, &cluster, 1),
        enter(Kind::Npm, &cluster, 1),
    ];
    for number in 0..drawers.len() {
        let (drawer, pen) = &mut drawers[number];
        let name = format!("{pen}-1");
        for points in [json!([1, 1, 2, 2]), json!([1, 1, 2, 2, 3, 3.5])] {
            drawer.set(BOARD, &name, stroke(points));
        }
        for (drawer, _) in &mut drawers {
            drawer.until_slot(BOARD, &name, &stroke(json!([1, 1, 2, 2, 3, 3.5])));
        }
    }
    // Pointers go to all members and are stored nowhere.
    let (drawer, pen) = &mut drawers[0];
    let pen = pen.clone();
    drawer.send_to(BOARD, "onPointer", json!([pen, 5, 6]));
    let (other, _) = &mut drawers[1];
    assert_eq!(other.until_message(BOARD, "onPointer"), json!([pen, 5, 6]));

    let (drawer, pen) = &mut drawers[1];
    let name = format!("{pen}-1");
    assert_eq!(drawer.call("undo", json!([])), Ok(json!(true)));
    assert_eq!(drawer.call("undo", json!([])), Ok(json!(false)));
    for (drawer, _) in &mut drawers {
        drawer.until_there(BOARD, &name, false);
    }
    let (drawer, pen) = &mut drawers[2];
    let pen = pen.clone();
    drawer.call("wipe", json!([])).expect("it is wiped");
    for (drawer, _) in &mut drawers {
        drawer.until("an empty board", |drawer| {
            let board = drawer.replica(BOARD);
            board.is_some_and(|board| board.slots.is_empty())
        });
        if drawer.is_python() {
            assert_eq!(drawer.until_message(BOARD, "onWiped"), json!([pen]));
        }
    }
}

#[test]
fn what_is_not_a_stroke_is_taken_away() {
    let cluster = example("whiteboard");
    let (mut drawer, pen) = enter(Kind::Amf3, &cluster, 0);
    let (mut other, _) = enter(Kind::Amf0, &cluster, 1);
    let wrong = [
        ("elsewhere".to_owned(), stroke(json!([1, 1]))),
        (format!("{pen}-1"), json!("text")),
        (format!("{pen}-2"), json!(null)),
        (format!("{pen}-3"), stroke(json!([1]))),
        (format!("{pen}-4"), stroke(json!([1, "x"]))),
        (
            format!("{pen}-5"),
            json!({"colour": "red", "width": 1, "points": []}),
        ),
    ];
    for (name, value) in &wrong {
        drawer.set(BOARD, name, value.clone());
    }
    let good = format!("{pen}-6");
    drawer.set(BOARD, &good, stroke(json!([0, 0])));
    for client in [&mut drawer, &mut other] {
        client.until_slot(BOARD, &good, &stroke(json!([0, 0])));
        for (name, _) in &wrong {
            client.until_there(BOARD, name, false);
        }
    }
}

/// The shared object of the strokes.
const BOARD: &str = "board/strokes";

fn enter(kind: Kind, cluster: &Cluster, edge: usize) -> (Driven, String) {
    let mut client = Driven::start(kind);
    client.hears(&["onPen"]);
    let info = client.connect(cluster.rtmp(edge), "whiteboard/board1", json!([]));
    info.expect("everybody may draw");
    client.join(BOARD);
    let pen = client.called("onPen");
    let pen = pen[0].as_str().expect("a name").to_owned();
    (client, pen)
}

fn stroke(points: Value) -> Value {
    json!({"colour": "#204a87", "width": 3, "points": points})
}
