"""The database service of spaces: commands, access rules, bounds. Pure but for the port.

parse                parameters of a call -> DocumentCommand, or a typed error; `options`: their types
operators            what commands may hold, an allow-list: `filters`, `updates`, `pipelines`, `operands`,
                     `places`, over one bounded `walk`; `names` of fields and collections
arithmetic           what the embedded server could not end is asked otherwise; `arithmetic_costs`
expression_bounds    what expressions cost for one document, by `expression_work` and `expression_values`
regexes              what a regular expression costs, by its `regex_tokens`
rules                a space's access rules: `rule_text` and `rule_documents` (over `rule_json`) -> rules ->
                     decision, by the conditions of `expressions`
owner                owner rules become filters, in joins by `owned_pipelines`; the hidden owner is stamped
                     and never shown (`hidden`)
transactions         which are open here, for how long, and whose; how many: `transaction_room`
errors               MongoDB's numbers, and which texts may quote documents
"""
