"""What holds for the WASI images holds here, by the very same tests: they are collected once more, with this folder's
server. What needs a rollback or a fork is not among them."""

from __future__ import annotations

# ruff: noqa: F401 - pytest finds imported tests
from tests.runtime.sandbox.test_cells import (
    test_a_suspension_goes_on_with_the_rest,
    test_cells_run_in_order_and_each_has_its_own_reply,
)
from tests.runtime.sandbox.test_execute import (
    test_after_cell_runs_at_the_end_of_every_cell_also_of_one_that_raised,
    test_an_exception_is_an_error_with_type_message_and_line_and_keeps_what_was_assigned,
    test_asyncio_runs_in_a_cell,
    test_emitted_events_come_apart_from_stdout_and_once,
    test_functions_classes_generators_and_imports_live_on,
    test_locals_summary_values_and_none,
    test_memory_and_cpu_are_reported,
    test_pickle_and_dataclasses_work_on_classes_of_a_cell,
    test_stdout_and_stderr_are_apart_and_only_of_this_cell,
    test_the_issues_example_prints_and_is_remembered,
    test_the_main_module_is_the_session,
    test_the_same_request_id_gets_the_last_reply_again_and_runs_nothing,
    test_without_a_session_id_the_session_is_fresh_and_discarded,
)
from tests.runtime.sandbox.test_host_calls import (
    test_a_call_in_a_loop_suspends_as_often_as_it_is_made,
    test_a_call_suspends_with_name_and_payload_and_its_answer_is_the_value,
    test_a_one_shot_cell_may_suspend_and_ends_with_its_last_reply,
    test_a_timeout_given_with_the_answer_replaces_what_was_left,
    test_an_error_is_raised_in_the_cell_as_runtimeerror,
    test_each_reply_has_only_what_is_new_and_the_last_the_times_of_the_whole_cell,
    test_large_payloads_and_answers_go_through_whole,
)
from tests.runtime.sandbox.test_interrupt import (
    test_a_session_without_checkpoints_is_lost_and_says_so,
    test_an_idle_session_has_nothing_to_interrupt_and_loses_nothing,
    test_an_interrupted_first_cell_leaves_a_fresh_session_of_the_same_id,
)
from tests.runtime.sandbox.test_randomness import (
    test_a_seed_does_not_fix_urandom,
    test_hashes_and_the_order_of_sets_are_the_same_in_every_session,
    test_the_same_seed_gives_the_same_numbers_and_another_seed_others,
)
from tests.runtime.sandbox.test_refusals import test_every_reply_carries_the_load_and_the_request_id
from tests.runtime.sandbox.test_sessions import (
    test_a_prelude_runs_once_as_cell_0_and_its_names_are_hidden,
    test_checkpoint_off_makes_a_bad_cell_end_the_session_and_says_so,
    test_limits_above_the_pools_are_refused_and_lower_ones_hold,
)
from tests.runtime.sandbox.test_variables_http import (
    test_40_megabytes_of_ascii_are_set_and_usable,
    test_a_value_beyond_the_limit_is_413_and_the_session_goes_on,
    test_a_value_whose_encoded_form_has_no_room_is_413_and_the_session_goes_on,
    test_lone_surrogates_come_back_as_escapes,
    test_text_of_any_width_is_equal_to_itself_and_comes_back,
    test_what_does_not_fit_into_the_sessions_memory_is_422_and_the_session_goes_on,
)
