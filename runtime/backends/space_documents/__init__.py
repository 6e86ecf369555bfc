"""Parts of the adapter of spaces' databases (`runtime.backends.space_documents_mongodb`).

values          JSON values <-> BSON values
conditions      filters, expressions and pipelines, with their ids
arguments       a command of JSON values -> the same of BSON values
call            a command with its bounds and its collection
reads, writes   the commands on documents
commands        which is which
database        one space's database: errors and time limits of everything that is asked there
results         answers, bounded
plans           what `explain` shows
administration  collections and indexes
transaction     one transaction
transfer        export and import
errors          the driver's errors -> those of callers and ours
"""
