"""The file service of spaces: names of files, and who may read and write them. Pure.

paths            what a file may be called, its id, which kinds of files apps may upload
rules            a space's access rules: `rule_text` -> rules of `rule_scope` -> answers; scopes have
                 JavaScript's regular expressions (`rule_pattern`), grants the conditions of
                 `rule_condition`, which `rule_expression` reads
"""
