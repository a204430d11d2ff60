from llmi2i_cli.data.columns import pick_column


def test_columns_are_found_without_case_and_underscores_the_better_name_first():
    assert pick_column(["ASIN", "Parent_Asin", "x"], ["item_id", "parent_asin", "asin"]) == "Parent_Asin"
    assert pick_column(["movieId"], ["item_id", "movie_id"]) == "movieId"
    assert pick_column(["x"], ["item_id"]) is None
