variable "name" {
  description = "Name of the cluster, and the beginning of all other names"
  type        = string
  default     = "sessile"
}

variable "kubernetes_version" {
  description = "Release of Kubernetes; the manifests are checked against 1.29 and later"
  type        = string
  default     = "1.33"
}

variable "subnet_ids" {
  description = "Private subnets in at least two zones, with a way out for images and models"
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "EKS needs subnets in at least two zones."
  }
}

variable "public_access_cidrs" {
  description = "Networks that may reach the cluster's API from outside; none: only from within"
  type        = list(string)
  default     = []
}

variable "gpu_instance_type" {
  description = "g5.2xlarge has one GPU (overlays/esm2-1gpu), g5.48xlarge eight (overlays/esm2-8gpu)"
  type        = string
  default     = "g5.2xlarge"
}

variable "gpu_nodes" {
  description = "Fewest, most and first number of nodes with GPUs"
  type = object({
    min     = number
    max     = number
    desired = number
  })
  default = {
    min     = 0
    max     = 4
    desired = 1
  }
}

variable "system_instance_type" {
  description = "Nodes for everything else"
  type        = string
  default     = "m6i.large"
}
