-- The counts of the tags of four types; extra_rows is what a join has multiplied.
SELECT tagid, tag_count, tag_total_per, tag_dau_per, tag_rows - tag_count AS extra_rows
FROM tag_counts
WHERE data_date = :ds_nodash AND tagtype IN (:first, :second, :third, :fourth);
