"""What must always be true of the migrations. Run these tests before every merge.

Tests of your own revisions fit in here, too: see migrations/README.md.
"""

from migrations.guard.proof.tests import (  # noqa: F401
    test_a_new_revision_is_valid_whatever_its_message,
    test_env_knows_the_tables_of_all_models,
    test_every_constraint_is_given_a_name,
    test_every_revision_goes_up_down_and_up_again_and_leaves_nothing,
    test_history_has_one_base_and_one_head_and_no_gaps,
    test_no_module_of_an_older_layout_is_left,
    test_revision_ids_fit_into_the_version_table_and_are_in_the_file_names,
    test_revisions_do_not_import_the_application,
    test_the_head_file_names_the_head,
    test_the_ini_points_at_a_complete_environment,
    test_upgrade_can_be_written_as_sql,
    test_upgrade_gives_the_tables_of_the_models,
)
