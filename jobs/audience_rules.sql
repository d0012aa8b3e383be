-- The audiences of the example; marketers edit this table. jobs/README.md has the form of a rule.
REPLACE INTO audience_rule (audience_id, title, rule) VALUES
('repeat_active', 'Two orders or more in 30 days and active this week',
 '{"all": [{"tag": "orders_30d", "range": [2, null]}, {"tag": "last_behavior_days", "range": [0, 7]}]}'),
('continent', 'Customers in France, Germany or Spain', '{"tag": "country", "in": ["France", "Germany", "Spain"]}'),
('big_spender', 'Paid 1,000 pounds or more in all, or 400 in 30 days',
 '{"any": [{"tag": "paid_total", "range": [1000, null]}, {"tag": "paid_30d", "range": [400, null]}]}'),
('win_back', 'Big spenders who have gone silent, or bought nothing for 30 to 90 days',
 '{"all": [{"audience": "big_spender"}, {"any": [{"tag": "activity_level", "in": ["silent"]}, {"tag": "last_behavior_days", "range": [30, 90]}]}]}'),
('call_centre', 'Big spenders, less the continent, less whoever is highly active anyway',
 '{"minus": [{"audience": "big_spender"}, {"audience": "continent"}, {"tag": "activity_level", "in": ["high"]}]}'),
('morning_kitchen', 'Buys kitchen goods, most often between 8 and 11',
 '{"all": [{"tag": "buy_category", "in": ["kitchen"]}, {"tag": "high_active_period", "range": [8, 11]}]}');
