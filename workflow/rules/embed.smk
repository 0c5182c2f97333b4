rule embed:
    input:
        path_of,
    output:
        results / f"embed/{{sample}}.{extension}",
    params:
        command="embed",
        options=lambda wildcards: {
            "--model": config["embed"]["model"],
            "--outputs": config["embed"]["outputs"],
            "--long": config["embed"]["long"],
            "--dtype": config["dtype"],
            "--devices": config["devices"],
        },
    log:
        results / "logs/embed/{sample}.log",
    threads: config["threads"]
    retries: 1
    conda:
        "../envs/sessile.yaml"
    script:
        "../wrapper/wrapper.py"
