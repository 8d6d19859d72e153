//! The link carries a stream once, however many viewers an edge has.

use std::{thread, time::Duration};

use crate::support::{
    clients::wired::Wired,
    cluster::Cluster,
    synthetic::{Codec, Synthetic},
    wire,
};

#[test]
fn two_hundred_viewers_cost_the_link_what_one_does() {
    let cluster = Cluster::start(1, 2);
    let publisher = Synthetic::start(cluster.rtmp(0), "live", "once", Codec::Avc, 8000);
    let mut viewers = Viewers::start(&cluster, 1);
    let one = bytes_per_byte(&cluster, &publisher, &mut viewers);
    viewers.add(&cluster, 199);
    let many = bytes_per_byte(&cluster, &publisher, &mut viewers);
    publisher.finish();
    println!("bytes on the link for each byte published: {one:.3} with 1, {many:.3} with 200");
    // Messages under way at the ends of a measurement, and a feed that begins again on a busy
    // machine, move the figure a little; 199 more copies would not be little.
    assert!(many < 2.0 * one, "{one} became {many}");
}

/// Bytes towards the edges for each byte published, while every viewer gets every frame.
fn bytes_per_byte(cluster: &Cluster, publisher: &Synthetic, viewers: &mut Viewers) -> f64 {
    viewers.await_media();
    let before = (cluster.relays[0].traffic(), publisher.bytes());
    thread::sleep(Duration::from_secs(4));
    let after = (cluster.relays[0].traffic(), publisher.bytes());
    viewers.await_media();
    let on_link = after.0.bytes_to_clients - before.0.bytes_to_clients;
    on_link as f64 / (after.1 - before.1) as f64
}

struct Viewers(Vec<Wired>);

impl Viewers {
    fn start(cluster: &Cluster, count: usize) -> Self {
        let mut viewers = Self(Vec::new());
        viewers.add(cluster, count);
        viewers
    }

    fn add(&mut self, cluster: &Cluster, count: usize) {
        for _ in 0..count {
            self.0
                .push(Wired::viewer(cluster.rtmp(1), "live", "once").0);
        }
    }

    /// Waits until every viewer has received a new frame.
    fn await_media(&mut self) {
        for (index, viewer) in self.0.iter_mut().enumerate() {
            let found = viewer.wait(Duration::from_secs(15), |message| {
                message.header.kind == wire::VIDEO
            });
            found.unwrap_or_else(|nothing| panic!("viewer {index} gets no media: {nothing:?}"));
        }
    }
}
