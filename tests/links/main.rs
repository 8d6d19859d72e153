//! Both ends of links in one process: the real drivers and real QUIC over loopback, without RTMP.

mod a_busy_group_loses_nothing;
mod a_lane_lives_as_long_as_it_has_sessions;
mod a_newer_link_fences_an_older;
mod a_rogue_edge_harms_nobody;
mod feeds_and_their_viewers;
mod links_move_to_another_process;
mod named_origins_and_displaced_groups;
mod origins_come_and_go;
mod origins_prove_themselves;
mod publishes_move_to_another_process;
mod shared_objects_cross_once;
mod shares_are_fair;
mod stalled_sessions_stop_nobody;
mod streams_are_named;
mod unread_publishes;

mod rig;
