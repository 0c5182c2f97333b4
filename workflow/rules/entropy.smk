rule entropy:
    input:
        path_of,
    output:
        results / "entropy/{sample}.json.gz",
    params:
        command="entropy run",
        options=lambda wildcards: {
            "--model": config["entropy"]["model"],
            "--head": config["entropy"]["head"],
            "--table": config["entropy"]["table"],
            "--min-aa": config["entropy"]["min_aa"],
            "--dtype": config["dtype"],
            "--devices": config["devices"],
        },
    log:
        results / "logs/entropy/{sample}.log",
    threads: config["threads"]
    retries: 1
    conda:
        "../envs/sessile.yaml"
    script:
        "../wrapper/wrapper.py"
