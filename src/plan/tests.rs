use super::{
    costs::Costs,
    demand::{Application, Delivery, Demand, Machine},
    fleet::{Fleet, Kind, Plan},
    node::Resource,
    show,
};

fn demand() -> Demand {
    Demand {
        viewers: 100_000,
        bitrate: 1_000,
        messages: 73,
        publishers: Some(20),
        sessions: 10_000,
        groups: 100,
        calls: 1_000,
        delivery: Delivery::Standard,
        application: Application::Script,
    }
}

fn machine() -> Machine {
    Machine {
        cores: 8,
        memory: 16,
        network: 10,
        descriptors: 1_000_000,
        headroom: 30,
    }
}

/// Costs of which all but these lines are zero.
fn costs(edge: &str, link_thread: &str) -> Costs {
    let fit = |name: &str, costs: &str| {
        format!("[{name}]\ntypical_error = 0.1\nlargest_error = 0.2\n[{name}.costs]\n{costs}\n")
    };
    let text = [
        "[source]\ncommand = \"c\"\nmeasured = \"m\"\n".to_owned(),
        fit("edge.processor", edge),
        fit("edge.memory", ""),
        fit("edge.kernel", ""),
        fit("origin.processor", ""),
        fit("origin.link_thread", link_thread),
        fit("origin.memory", ""),
    ];
    toml::from_str(&text.concat()).unwrap()
}

/// The nodes of each tier without relays, or `None`.
fn today(demand: &Demand, machine: &Machine, costs: &Costs) -> Option<Fleet> {
    Plan::new(demand, machine, costs).ok()?.today.ok()
}

/// The nodes of the least fleet; the largest number if there is none.
fn least(demand: &Demand, machine: &Machine) -> u64 {
    let costs = Costs::built_in();
    let Ok(plan) = Plan::new(demand, machine, &costs) else {
        return u64::MAX;
    };
    let fleets = plan.today.iter().chain(&plan.relayed).map(Fleet::nodes);
    fleets.min().unwrap_or(u64::MAX)
}

#[test]
fn the_costs_of_this_program_are_numbers() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/plan/costs.toml");
    Costs::read(file.as_ref()).unwrap();
}

#[test]
fn known_audiences_need_known_nodes() {
    // 7 Gbit/s are 6,602 viewers of 1.06 Mbit/s, and a publisher's 1.08 Mbit/s on the link.
    let network = costs("", "");
    // 5.6 cores are 5,600 viewers.
    let viewers = costs("delivered_mbit = { value = 1000.0, error = 0.0 }", "");
    // 0.7 of the link thread is 70 feeds.
    let feeds = costs("", "feed = { value = 10000.0, error = 0.0 }");
    let table = [
        (&network, 1, 1, 1, (1, Resource::NetworkIn), 1),
        (&network, 6_602, 1, 1, (1, Resource::NetworkOut), 1),
        (&network, 6_603, 1, 1, (2, Resource::NetworkOut), 1),
        (&network, 100_000, 1, 1, (16, Resource::NetworkOut), 1),
        (&viewers, 5_599, 1, 1, (1, Resource::Processor), 1),
        (&viewers, 56_001, 1, 1, (11, Resource::Processor), 1),
        // 16 edges with 10 feeds each.
        (&feeds, 100_000, 10, 10, (16, Resource::NetworkOut), 3),
        (&feeds, 100_000, 10, 3, (16, Resource::NetworkOut), 3),
    ];
    for (costs, viewers, publishers, groups, edges, origins) in table {
        let demand = Demand {
            viewers,
            publishers: Some(publishers),
            groups,
            sessions: 0,
            calls: 0,
            ..demand()
        };
        let fleet = today(&demand, &machine(), costs).unwrap();
        let [edge, origin] = fleet.tiers.as_slice() else {
            panic!("two tiers");
        };
        assert_eq!((edge.nodes, edge.limit), edges, "{demand:?}");
        assert_eq!(origin.nodes, origins, "{demand:?}");
        assert_eq!([edge.kind, origin.kind], [Kind::Edge, Kind::Origin]);
    }
}

#[test]
fn a_group_that_one_origin_cannot_serve_needs_relays() {
    let costs = costs("", "feed = { value = 10000.0, error = 0.0 }");
    let demand = Demand {
        viewers: 1_000_000,
        publishers: Some(1),
        groups: 1,
        sessions: 0,
        calls: 0,
        ..demand()
    };
    let machine = machine();
    let plan = Plan::new(&demand, &machine, &costs).unwrap();
    let shortage = plan.today.as_ref().unwrap_err();
    assert_eq!(shortage.kind, Kind::Origin);
    assert_eq!(shortage.short.resource, Resource::LinkThread);
    // 152 edges; a relay has 69 of them, for its own feed counts too.
    let relayed = plan.relayed.as_ref().unwrap();
    let nodes: Vec<_> = relayed.tiers.iter().map(|tier| tier.nodes).collect();
    assert_eq!(nodes, [152, 3, 1]);
    assert!(show::text(&plan).contains("today: not possible: there can be no more than 1 origin "));
}

#[test]
fn an_audience_that_one_cluster_cannot_serve_is_divided_by_groups() {
    // 70 links are the most of an origin, and an edge has 6,600 viewers.
    let costs = costs("", "link = { value = 10000.0, error = 0.0 }");
    let demand = Demand {
        viewers: 1_000_000,
        publishers: Some(16),
        groups: 16,
        sessions: 0,
        calls: 0,
        ..demand()
    };
    let machine = machine();
    let plan = Plan::new(&demand, &machine, &costs).unwrap();
    assert!(plan.today.is_err());
    let divided = plan.divided.as_ref().unwrap();
    let nodes: Vec<_> = divided.each.tiers.iter().map(|tier| tier.nodes).collect();
    assert_eq!((divided.clusters, nodes), (4, vec![38, 1]));
    assert!(show::text(&plan).contains("today, as 4 clusters of 38 edges, 1 origin each"));
}

#[test]
fn more_to_serve_never_needs_fewer_nodes() {
    let raise: [fn(&mut Demand); 6] = [
        |demand| demand.viewers *= 10,
        |demand| demand.bitrate *= 3,
        |demand| demand.messages *= 3,
        |demand| demand.publishers = demand.publishers.map(|n| n * 10),
        |demand| demand.sessions = demand.sessions * 10 + 1,
        |demand| demand.calls = demand.calls * 10 + 1,
    ];
    let lower: [fn(&mut Machine); 5] = [
        |machine| machine.cores /= 2,
        |machine| machine.memory /= 2,
        |machine| machine.network /= 2,
        |machine| machine.descriptors /= 100,
        |machine| machine.headroom += 10,
    ];
    for viewers in [0, 1, 999, 10_000, 1_000_000, 123_456_789] {
        for publishers in [1, 50, 3_000] {
            let mut demand = demand();
            demand.viewers = viewers;
            demand.publishers = Some(publishers);
            let nodes = least(&demand, &machine());
            for (number, raise) in raise.iter().enumerate() {
                let mut more = demand.clone();
                raise(&mut more);
                assert!(least(&more, &machine()) >= nodes, "{number}: {demand:?}");
            }
            for (number, lower) in lower.iter().enumerate() {
                let mut less = machine();
                lower(&mut less);
                assert!(least(&demand, &less) >= nodes, "{number}: {demand:?}");
            }
        }
    }
}

#[test]
fn more_groups_need_no_fewer_nodes_where_the_fewer_groups_can_be_served() {
    let costs = Costs::built_in();
    let mut before = 0;
    for groups in [1, 2, 5, 10, 100, 1_000, 10_000, 1_000_000, 100_000_000] {
        let demand = Demand { groups, ..demand() };
        let nodes = today(&demand, &machine(), &costs).map(|fleet| fleet.nodes());
        let nodes = nodes.unwrap_or(before);
        assert!(nodes >= before, "{groups} groups");
        before = nodes;
    }
}

#[test]
fn no_number_is_too_large_to_answer() {
    let extremes = [0, 1, 1_000, u64::MAX / 3, u64::MAX];
    let costs = Costs::built_in();
    for viewers in extremes {
        for publishers in extremes {
            for rest in extremes {
                let demand = Demand {
                    viewers,
                    bitrate: rest,
                    messages: rest,
                    publishers: Some(publishers),
                    sessions: rest,
                    groups: publishers,
                    calls: viewers,
                    ..demand()
                };
                for amount in extremes {
                    let machine = Machine {
                        cores: amount,
                        memory: amount,
                        network: amount,
                        descriptors: amount,
                        headroom: 90,
                    };
                    if [demand.mistakes(), machine.mistakes()].concat().is_empty() {
                        match Plan::new(&demand, &machine, &costs) {
                            Ok(plan) => {
                                assert!(!show::text(&plan).contains("NaN"), "{demand:?}");
                                assert!(show::json(&plan).is_object());
                            }
                            Err(shortage) => assert!(!shortage.to_string().contains("NaN")),
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn mistakes_name_the_flag_and_the_remedy() {
    let none = Demand {
        viewers: 0,
        publishers: None,
        sessions: 0,
        ..demand()
    };
    let table: [(Demand, &str, &str); 5] = [
        (none, "no clients", "give the number"),
        (
            Demand {
                publishers: Some(0),
                ..demand()
            },
            "--publishers 0",
            "give 1 or more",
        ),
        (
            Demand {
                bitrate: 0,
                ..demand()
            },
            "--bitrate 0",
            "such as 1000",
        ),
        (
            Demand {
                messages: 0,
                ..demand()
            },
            "--messages 0",
            "such as 73",
        ),
        (
            Demand {
                groups: 0,
                ..demand()
            },
            "--groups 0",
            "give 1 or more",
        ),
    ];
    for (demand, flag, remedy) in table {
        let mistakes = demand.mistakes();
        let [mistake] = mistakes.as_slice() else {
            panic!("{mistakes:?}");
        };
        assert!(
            mistake.contains(flag) && mistake.contains(remedy),
            "{mistake}"
        );
    }
    let nothing = Machine {
        cores: 0,
        memory: 0,
        network: 0,
        descriptors: 0,
        headroom: 91,
    };
    assert_eq!(nothing.mistakes().len(), 5);
    assert_eq!(demand().mistakes(), machine().mistakes());
}

#[test]
fn an_absurd_bitrate_is_refused_with_its_reason() {
    let demand = Demand {
        bitrate: 100_000_000,
        ..demand()
    };
    let costs = Costs::built_in();
    let refused = Plan::new(&demand, &machine(), &costs).unwrap_err();
    let words = refused.to_string();
    assert!(words.contains("edges (one for each client)"), "{words}");
    assert!(words.contains("lower --bitrate"), "{words}");
}
