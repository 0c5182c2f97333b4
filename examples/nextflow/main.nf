// Viral prediction of a sample: chunks, both language models, the classifier.

process SESSILE_VIRAL_PREDICT {
    tag "$meta.id"
    label 'process_high'

    input:
    tuple val(meta), path(fasta)
    path classifier
    path dnabert
    path esm
    val chunk

    output:
    tuple val(meta), path("${prefix}/prediction_results.txt")             , emit: frames
    tuple val(meta), path("${prefix}/prediction_results_highestscore.csv"), emit: chunks
    tuple val(meta), path("${prefix}/contigs.tsv")                        , emit: contigs
    tuple val(meta), path("${prefix}/failed.tsv")                         , emit: failed
    path "versions.yml"                                                   , emit: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}"
    // Exit code 3: done, but some records failed; they are listed in failed.tsv.
    """
    code=0
    sessile viral predict $fasta \\
        --classifier $classifier --chunk $chunk --dnabert $dnabert --esm $esm \\
        --threads $task.cpus --output $prefix $args || code=\$?
    [ "\$code" -eq 0 ] || [ "\$code" -eq 3 ] || exit "\$code"

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        sessile: \$(sessile --version | sed 's/^sessile //')
    END_VERSIONS
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    mkdir -p $prefix
    touch $prefix/prediction_results.txt $prefix/prediction_results_highestscore.csv
    touch $prefix/contigs.tsv $prefix/failed.tsv

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        sessile: \$(sessile --version | sed 's/^sessile //')
    END_VERSIONS
    """
}

// nextflow run examples/nextflow --input 'genomes/*.fa.gz' --classifier 500_model.pth \
//     --dnabert models/DNABERT-S --esm models/esm2_t36_3B
workflow {
    samples = Channel.fromPath(params.input).map { file -> tuple([id: file.simpleName], file) }
    SESSILE_VIRAL_PREDICT(
        samples,
        file(params.classifier),
        file(params.dnabert),
        file(params.esm),
        params.chunk ?: 500
    )
}
