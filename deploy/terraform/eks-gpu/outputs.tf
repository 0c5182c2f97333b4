output "kubeconfig" {
  description = "The command that points kubectl at the cluster"
  value       = "aws eks update-kubeconfig --name ${aws_eks_cluster.this.name}"
}

output "cluster_endpoint" {
  description = "Address of the cluster's API"
  value       = aws_eks_cluster.this.endpoint
}
