"""Embeds a folder of FASTA shards to Parquet on all nodes of a Ray cluster, and resumes.

python ray_shards.py shards/ vectors/ facebook/esm2_t33_650M_UR50D --concurrency 4 --num-gpus 1
"""

import argparse

import ray

import sessile.ray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("shards", help="folder of FASTA files, reached from every node")
    parser.add_argument("output", help="folder for the Parquet files, likewise")
    parser.add_argument("model")
    parser.add_argument("--concurrency", type=int, default=1, help="actors, each with its model")
    parser.add_argument("--num-cpus", type=int, default=1, help="cores of an actor")
    parser.add_argument("--num-gpus", type=float, default=0, help="GPUs of an actor")
    arguments = parser.parse_args()

    ray.init()
    files = sessile.ray.embed_folder(
        arguments.shards,
        arguments.output,
        model=arguments.model,
        concurrency=arguments.concurrency,
        num_cpus=arguments.num_cpus,
        num_gpus=arguments.num_gpus,
        threads=arguments.num_cpus,
    )
    print(f"{len(files)} files in {arguments.output}")


if __name__ == "__main__":
    main()
