"""A few raw rows in the tables that the kept script reads."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

INSTANCES = Path(__file__).resolve().parents[2] / "instances"
RAW_HEADERS = {
    "hardware": "accelerator,vendor,kind,memory_gib,memory_bandwidth_gb_s,bf16_tflops,fp8_tflops,int8_tops,fp4_tflops,tdp_w,"
    "interconnect_gb_s,cuda_compute_capability,source",
    "offers": "provider,region,instance_type,accelerator,accelerator_count,vcpus,memory_gib,on_demand_usd_per_hour,"
    "spot_usd_per_hour,source,as_of",
    "throughput": "benchmark,model,scenario,accelerator,accelerator_count,precision,metric_unit,value,p99_ttft_ms,p99_tpot_ms,"
    "p99_latency_ms,accuracy_target_pct,measured_accuracy,availability,submitter,system,framework,mlperf_version,source",
    "llm_profiles": "model,accelerator,precision,source",
    "cv_variant_profiles": "family,model,params_m,image_size,hardware,precision,batch_size,samples_per_s,step_ms,top1_pct,"
    "top1_checkpoint,software,source",
    "accuracy": "model,variant,method,metric,higher_is_better,value,baseline_value,recovery_pct,note,source",
    "energy": "provider,region,location,usd_per_kwh,usd_per_kwh_commercial,eur_per_kwh,gco2_per_kwh,source",
    "model_specs": "model,parameters_b",
    "request_sizes": "trace,input_tokens_bucket,output_tokens_bucket,share,requests",
    "request_traces": "trace,mean_output_tokens,peak_minute_requests_per_s,source",
}
ALWAYS = {  # what every build needs
    "request_sizes": ["azure_llm_2023_conv,1-32,1-32,1.0,10"],
    "request_traces": ["azure_llm_2023_conv,200.0,8.0,here", "azure_llm_2023_code,20.0,9.0,here"],
    "hardware": ["L4,nvidia,gpu,24.0,300.0,121.0,242.0,242.0,,72.0,32.0,8.9,here"],
}
RawRows = Mapping[str, Sequence[str]]


def write_raw(folder: Path, rows: RawRows) -> Path:
    """Write a folder of raw tables; those without rows hold a header."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, header in RAW_HEADERS.items():
        lines = [header, *ALWAYS.get(name, ()), *rows.get(name, ())]
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def build(raw: Path, out: Path) -> Path:
    """Run the kept script."""
    command = [sys.executable, str(INSTANCES / "build.py"), str(raw), "--out", str(out)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return out
