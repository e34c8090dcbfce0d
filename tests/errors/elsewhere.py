"""Errors that the table of provocations does not show: which test does, what it takes, or why
nobody meets them."""

from __future__ import annotations

from typing import Final

ELSEWHERE: Final[dict[tuple[str, str], str]] = {
    ("authorities/answers.py", "AuthorityMoved"): (
        "tests/volume/test_migrating.py"
        "::test_between_the_end_and_the_beginning_nobody_gets_anything"
    ),
    ("authorities/redis/publishing.py", "AuthorityUnreachable"): (
        "tests/authorities/test_redis_session.py"
        "::test_who_is_missing_in_a_grace_is_not_taken_for_dead"
    ),
    ("authorities/redis/still.py", "AuthorityUnreachable"): (
        "tests/authorities/test_redis_session.py"
        "::test_workers_with_two_redises_are_told_before_both_can_hold"
    ),
    ("authorities/redis/still.py", "VolumeUnsuitable"): (
        "tests/authorities/test_redis_session.py::test_a_redis_that_throws_keys_away_is_refused"
    ),
    ("authorities/redis/troubles.py", "AuthorityUnsuitable"): (
        "tests/redis/test_troubles.py::test_a_wrong_password"
    ),
    ("authorities/volume/publishing.py", "PublishFailed"): (
        "tests/leases/test_staging.py::test_a_draft_that_the_place_could_not_take_is_kept"
    ),
    ("authorities/volume/replica.py", "LogForgotten"): (
        "tests/volume/test_forgetting.py"
        "::test_who_finds_its_segment_nowhere_is_lost_if_its_election_is_gone"
    ),
    ("bench/engine.py", "BenchProblem"): (
        "tests/bench/test_engine.py::test_a_job_that_hangs_is_ended_too"
    ),
    ("bench/layout.py", "BenchProblem"): (
        "tests/bench/test_contents.py::test_a_file_with_a_hole_is_not_measured"
    ),
    ("bench/running.py", "BenchProblem"): (
        "tests/bench/test_scratch.py::test_a_volume_that_is_full_is_told_before_anything_is_written"
    ),
    ("bench/scratch.py", "BenchProblem"): (
        "tests/bench/test_scratch.py::test_more_than_the_budget_is_refused"
    ),
    ("bench/surroundings.py", "BenchProblem"): (
        "tests/bench/test_mounts_refused.py::test_the_disk_of_the_machine_is_refused"
    ),
    ("bench/workers.py", "BenchProblem"): (
        "tests/bench/test_engine.py::test_a_job_that_dies_is_told"
    ),
    ("cli/demo.py", "Problem"): "tests/cli/test_demo.py::test_mounts_of_two_volumes_are_refused",
    ("cli/holding.py", "CommandRefused"): (
        "tests/cli/test_hold.py::test_a_command_that_is_not_executable_ends_with_126"
    ),
    ("cli/holding.py", "LeaseError"): (
        "tests/cli/test_hold_lost.py::test_a_warden_killed_while_hold_waits_is_an_error"
    ),
    ("cli/holding.py", "LeaseLost"): (
        "tests/cli/test_hold_lost.py::test_a_lost_lease_ends_the_command_with_76"
    ),
    ("cli/holding.py", "LeaseTimeout"): (
        "tests/cli/test_hold.py::test_a_timeout_ends_with_75_and_names_the_holder"
    ),
    ("cli/init.py", "VolumeUnsuitable"): (
        "tests/cli/test_init.py::test_a_volume_inside_a_volume_is_refused"
    ),
    ("cli/peers.py", "GivenUp"): (
        "tests/cli/test_doctor_peer.py::test_who_can_not_go_on_tells_the_other"
    ),
    ("cli/peers.py", "Silence"): (
        "tests/cli/test_doctor_peer.py::test_alone_it_says_that_nobody_came"
    ),
    ("cli/reading.py", "Problem"): (
        "tests/cli/test_redis_authority.py::test_what_needs_a_log_says_that_there_is_none"
    ),
    ("cli/returning.py", "Problem"): (
        "tests/cli/test_init.py::test_a_version_whose_link_was_moved_by_hand_is_not_thrown_away"
    ),
    ("cli/sandboxing.py", "Problem"): (
        "tests/enforce/test_sandbox.py::test_a_level_that_does_not_exist_yet_is_refused"
    ),
    ("cli/trailing.py", "Problem"): (
        "tests/cli/test_hold.py::test_a_command_that_is_not_there_ends_with_127_without_a_lease"
    ),
    ("daemon/desk.py", "LeaseViolation"): (
        "tests/daemon/test_desks.py"
        "::test_a_request_that_was_given_back_before_it_began_never_begins"
    ),
    ("daemon/doorway.py", "SocketTaken"): (
        "tests/daemon/test_daemons.py::test_what_a_killed_socket_left_is_cleared_away"
    ),
    ("daemon/reception.py", "ProtocolError"): (
        "tests/daemon/test_garbage.py::test_every_wrong_message_gets_its_reply"
    ),
    ("daemon/returning.py", "ProtocolError"): (
        "tests/daemon/test_desks.py::test_pages_of_a_reclaim_count_together_or_not_at_all"
    ),
    ("daemon/server.py", "AuthorityUnreachable"): (
        "tests/daemon/test_on_a_real_volume.py::test_a_volume_that_hangs_is_told_of_and_used_again_when_it_is_back"
    ),
    ("drivers/scripts.py", "AuthorityUnreachable"): (
        "tests/authorities/test_redis_session.py"
        "::test_a_grant_counts_only_once_the_replicas_have_it"
    ),
    ("enforce/ground.py", "LeaseLost"): (
        "tests/enforce/test_guard.py::test_a_write_after_the_loss_is_refused_and_tells_of_it"
    ),
    ("enforce/ground.py", "LeaseViolation"): (
        "tests/enforce/test_guard.py::test_a_refusal_names_the_holder_and_the_way_out"
    ),
    ("leases/daemon_hosting.py", "DaemonUnavailable"): (
        "tests/daemon/test_daemons.py::test_a_socket_without_a_daemon_is_an_error_and_no_other_side"
    ),
    ("leases/running.py", "EnforcementMissing"): (
        "tests/enforce/test_sandbox.py::test_without_landlock_lease_run_says_so_once_or_raises"
    ),
    ("leases/staging.py", "LeaseLost"): (
        "tests/leases/test_publishing_while_lost.py"
        "::test_what_was_moved_in_is_kept_when_it_can_not_be_moved_back"
    ),
    ("leases/volumes.py", "AuthorityUnreachable"): (
        "tests/leases/test_tasks_on_a_volume.py::test_who_set_a_timeout_is_told_that_the_volume_does_not_answer"
    ),
}

INSIDE: Final[dict[tuple[str, str], str]] = {
    ("authorities/redis/calling.py", "SessionOver"): "the session is lost: its users get LeaseLost",
    ("authorities/volume/committer.py", "SessionOver"): (
        "the session is lost: its users get LeaseLost"
    ),
    ("authorities/volume/session.py", "SessionOver"): (
        "the session is lost: its users get LeaseLost"
    ),
    ("authorities/volume/replay.py", "AuthorityUnreachable"): (
        "a directory of the log can't be listed: told as of any other call of verify and history"
    ),
    ("authorities/volume/replay.py", "LogDamaged"): "becomes a finding of volumelease verify",
    ("cli/mount_checks.py", "SettingsMismatch"): "becomes a line of volumelease doctor",
    ("daemon/reception.py", "LeaseError"): "a new daemon leaves a session alone, and logs why",
}

RARE: Final[dict[tuple[str, str], str]] = {
    ("authorities/redis/connecting.py", "AuthorityUnsuitable"): "redis-py is not installed",
    ("authorities/redis/publishing.py", "PublishFailed"): (
        "something was made at the public path between two calls"
    ),
    ("authorities/redis/session.py", "SessionOver"): "a Redis that takes longer than a ttl to open",
    ("authorities/volume/adopting.py", "AuthorityUnreachable"): (
        "a directory that changes all the time, or two adoptions of it at once"
    ),
    ("authorities/volume/adopting.py", "PublishFailed"): (
        "somebody makes the directory anew while it is adopted"
    ),
    ("authorities/volume/fleet.py", "AuthorityUnreachable"): "reports that change without an end",
    ("authorities/volume/publishing.py", "AuthorityUnreachable"): (
        "a rename that fails again and again"
    ),
    ("authorities/volume/replica.py", "LogDamaged"): (
        "a segment that nobody can read, or that was deleted by hand"
    ),
    ("authorities/volume/segments.py", "AuthorityUnreachable"): "a volume that fails at a turnover",
    ("authorities/volume/segments.py", "VolumeFull"): "a volume that fills up right at a turnover",
    ("bench/fio.py", "BenchProblem"): "fio is asked for and not installed",
    ("bench/model.py", "BenchProblem"): "a volume so slow that it takes no model in its time",
    ("bench/problems.py", "BenchProblem"): "a volume that fills up, or fails, during a benchmark",
    (
        "bench/surroundings.py",
        "VolumeNotFound",
    ): "a benchmark where the platform attached no volume",
    ("cli/bench.py", "Problem"): "a file to compare with that is none of a benchmark",
    ("cli/bench_files.py", "Problem"): "results go to a directory that can't be written",
    ("cli/adopt.py", "LeaseLost"): "the lease is lost during an adoption",
    ("cli/breaking.py", "AuthorityUnreachable"): "the command loses its own session while it waits",
    ("cli/building.py", "LeaseLost"): "the lease is lost between the command's end and its publish",
    ("cli/competition.py", "Problem"): "a machine so busy that no worker of the demo gets a lease",
    ("cli/exporter.py", "Problem"): "the metrics extra is not installed",
    ("cli/history.py", "Problem"): "the exporter is asked about another volume's path",
    ("cli/init.py", "VolumeFull"): "a volume that is full when it is tried",
    ("cli/reading.py", "AuthorityUnreachable"): "a mount that hangs",
    ("cli/reins.py", "Problem"): "a system that is not Linux",
    ("cli/showing.py", "VolumeNotFound"): "the status page before the first lease",
    ("daemon/clients.py", "NotAdmitted"): "a client of another user or pid namespace",
    ("daemon/reception.py", "VolumeNotFound"): "a client in another language names two volumes",
    ("enforce/sandbox.py", "PathInvalid"): "a leased path is moved while a sandbox is made for it",
    ("leases/entering.py", "LeaseLost"): "the session is lost at every try to use a grant",
    ("leases/loans.py", "LeaseLost"): "a loan is entered at the moment in which its lender leaves",
    ("leases/migrating.py", "AuthorityUnreachable"): "sessions that are lost during a migration",
    ("paths/canonical.py", "PathInvalid"): "versions that were linked by hand into a circle",
    ("paths/locate.py", "AuthorityUnreachable"): "a mount that fails",
    ("paths/resolve.py", "AuthorityUnreachable"): "a mount that fails",
    ("platform.py", "VolumeUnsuitable"): "a version of the SDK that was never seen",
    ("serving/fresh.py", "AuthorityUnreachable"): "a mount that hangs",
}
