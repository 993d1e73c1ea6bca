CLAIMS = ()
BESIDE = FURTHER = ()
RECORDED = {"profile": "real", "dataset": "trec"}
