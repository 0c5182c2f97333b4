rule viral:
    input:
        path_of,
    output:
        directory(results / "viral/{sample}"),
    params:
        command="viral predict",
        options=lambda wildcards: {
            "--classifier": config["viral"]["classifier"],
            "--chunk": config["viral"]["chunk"],
            "--dnabert": config["viral"]["dnabert"],
            "--esm": config["viral"]["esm"],
            "--dtype": config["dtype"],
            "--devices": config["devices"],
        },
    log:
        results / "logs/viral/{sample}.log",
    threads: config["threads"]
    retries: 1
    conda:
        "../envs/sessile.yaml"
    script:
        "../wrapper/wrapper.py"
