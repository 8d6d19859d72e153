//! End to end: real processes, real clients.

#[path = "../support/mod.rs"]
mod support;

mod a_client_comes_back;
mod a_process_dies;
mod a_publication_ends_with_its_publisher;
mod a_publisher_takes_over;
mod a_service_manager_starts_nodes;
mod a_stream_crosses_a_long_path;
mod a_stream_crosses_the_link_once;
mod an_edge_is_replaced;
mod an_edge_leaves;
mod an_outage_is_not_seen;
mod applications;
mod applications_are_deployed;
mod bad_input;
mod clients_come_in_requests;
mod clients_come_in_websockets;
mod clients_come_over_tls;
mod clients_come_through_balancers;
mod clients_come_through_proxies;
mod dev_needs_nothing;
mod edges_decide_who_may;
mod enhanced_rtmp_passes;
mod every_publisher_with_every_player;
mod examples_can_be_deployed;
mod groups_move;
mod independent_clients_call;
mod independent_clients_share;
mod independent_clients_stream;
mod large_commands_do_not_block;
mod origins_fail_and_return;
mod players_see_no_false_tracks;
mod scripts_agree_with_the_air;
mod scripts_play_and_republish_streams;
mod services_decide;
mod services_relay_streams;
mod sessions_and_streams;
mod sessions_outlive_a_planned_stop;
mod sessions_outlive_their_origin;
mod settings_change_in_place;
mod shared_objects_survive;
mod streams_are_relayed;
mod the_full_square;
mod unread_streams_lose_nothing;
mod viewers_differ;
